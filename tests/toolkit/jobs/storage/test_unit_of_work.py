"""Transactions: what is kept, what is not, and what a command does not have to import."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from versemill.errors import DatabaseError
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job, User
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from job_queue import JobQueue


def _add(store: Store, name: str, *, commit: bool) -> None:
    with store.unit_of_work() as uow:
        uow.insert_if_absent(User, {"name": name}, key="name")
        if commit:
            uow.commit()


class TestUnitOfWork:
    def test_only_a_commit_keeps(self, queue: JobQueue) -> None:
        _add(queue.store, "ann", commit=False)
        assert queue.count(User) == 0
        _add(queue.store, "ann", commit=True)
        assert queue.count(User) == 1

    def test_an_error_rolls_back(self, queue: JobQueue) -> None:
        def fail() -> None:
            with queue.store.unit_of_work() as uow:
                uow.insert_if_absent(User, {"name": "ann"}, key="name")
                raise KeyError("x")

        with pytest.raises(KeyError):
            fail()
        assert queue.count(User) == 0

    def test_driver_errors_become_one_line(self, queue: JobQueue) -> None:
        job = queue.submit()

        def spoil() -> None:
            with queue.store.unit_of_work() as uow:
                uow.execute(update(Job).where(Job.id == job.id).values(state=None))

        with pytest.raises(DatabaseError) as caught:
            spoil()
        assert "\n" not in str(caught.value)

    def test_one_connection_is_enough_for_a_command(self, database_url: str) -> None:
        store = Store.open(database_url)
        for _ in range(3):
            _add(store, "ann", commit=True)
            with store.reading() as session:
                assert session.scalars(select(User.name)).all() == ["ann"]
        store.close()

    def test_writers_wait_for_each_other(self, sqlite_url: str) -> None:
        store = Store.open(sqlite_url, connections=2)
        started, seen = threading.Event(), []

        def slow() -> None:
            with store.unit_of_work() as uow:
                uow.insert_if_absent(User, {"name": "ann"}, key="name")
                started.set()
                time.sleep(0.3)
                uow.commit()

        thread = threading.Thread(target=slow)
        thread.start()
        started.wait()
        with store.reading() as session:  # readers do not wait
            seen.append(session.scalars(select(User.name)).all())
        with store.unit_of_work() as uow:
            seen.append(uow.session.scalars(select(User.name)).all())
        thread.join()
        store.close()
        assert seen == [[], ["ann"]]

    def test_who_writes_little_comes_before_who_writes_much(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Twenty times as rarely, so that a busy machine does not change the order.
        monkeypatch.setattr("versemill.jobs.storage.sqlite_connection._BULK_POLL_SECONDS", 0.5)
        store = Store.open(sqlite_url, connections=3)
        order: list[bool] = []

        def write(*, bulk: bool) -> None:
            with store.unit_of_work(bulk=bulk):
                order.append(bulk)

        with store.unit_of_work():
            both = [threading.Thread(target=write, kwargs={"bulk": b}) for b in (True, False)]
            for thread in both:
                thread.start()
            time.sleep(0.3)
        for thread in both:
            thread.join()
        store.close()
        assert order == [False, True]

    def test_waiting_for_a_writer_has_an_end(
        self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("versemill.jobs.storage.sqlite_connection.BUSY_SECONDS", 0)
        monkeypatch.setattr("versemill.jobs.storage.unit_of_work._BEGIN_SECONDS", 0)
        store = Store.open(sqlite_url, connections=2)
        with store.unit_of_work(), pytest.raises(DatabaseError, match="has been writing"):
            _add(store, "ann", commit=True)
        _add(store, "ann", commit=True)
        store.close()


class TestClock:
    def test_database_time_is_aware_and_utc(self, queue: JobQueue) -> None:
        with queue.store.reading() as session:
            now, later = session.execute(select(db_now(), db_now(30))).one()
        assert now.tzinfo is UTC or now.utcoffset() == timedelta(0)
        assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)
        assert timedelta(seconds=29.9) < later - now < timedelta(seconds=30.5)

    def test_stored_and_computed_times_compare(self, queue: JobQueue) -> None:
        job = queue.submit()
        with queue.store.reading() as session:
            past = select(Job.id).where(Job.created_at <= db_now())
            future = select(Job.id).where(Job.created_at > db_now())
            near = select(Job.id).where(Job.created_at == job.created_at)
            assert session.scalars(past).all() == [job.id]
            assert session.scalars(future).all() == []
            assert session.scalars(near).all() == [job.id]

    def test_naive_times_are_refused(self, queue: JobQueue) -> None:
        naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
        with queue.store.reading() as session, pytest.raises(Exception, match="no time zone"):
            session.scalars(select(Job.id).where(Job.created_at > naive)).all()


def test_a_command_imports_only_what_it_needs(database_url: str) -> None:
    script = f"""
import sys
from versemill.jobs import service
from versemill.jobs.storage.unit_of_work import Store
store = Store.open({database_url!r})
assert service.jobs(store) == []
store.close()
heavy = {{"torch", "celery", "kombu", "redis", "alembic", "pydantic", "psutil", "numpy"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
