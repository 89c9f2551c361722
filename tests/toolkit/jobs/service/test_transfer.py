"""An installation copied from one kind of database to the other."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, delete, event, make_url, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool, Pool

from installations import fill, opened, rows, trained, write
from people import ANN
from versemill.errors import DatabaseError, SchemaError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Principal, transfer
from versemill.jobs.storage.database import parse_url
from versemill.jobs.storage.tables import CheckpointChunk, Job, User, Worker
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from job_queue import JobQueue
    from versemill.jobs.storage.row_copy import Copied


@contextmanager
def other_client(url: str) -> Iterator[Engine]:
    """A way to the database beside our own, which does not wait for locks."""
    engine = create_engine(parse_url(url), poolclass=NullPool, connect_args=_impatient(url))
    yield engine
    engine.dispose()


def _impatient(url: str) -> dict[str, Any]:
    return {"timeout": 0} if url.startswith("sqlite") else {"options": "-c lock_timeout=100ms"}


class Databases:
    """An installation, and an empty database of the other kind."""

    def __init__(self, source_url: str, target_url: str) -> None:
        self.source_url = source_url
        self.target_url = target_url
        self.message: list[str] = []

    def copy(self) -> Copied:
        return transfer.copy_to(self.source_url, self.target_url, status=self.message.append)

    def refusal(self) -> str:
        """Why it is not copied; the target is empty afterwards."""
        with pytest.raises(DatabaseError) as refused:
            self.copy()
        with opened(self.target_url) as target:
            assert not any(rows(target).values())
        return str(refused.value)


@pytest.fixture(params=["to postgresql", "to sqlite"])
def databases(
    request: pytest.FixtureRequest, sqlite_url: str, postgres_url: str, tmp_path: Path
) -> Databases:
    if request.param == "to postgresql":
        return Databases(sqlite_url, postgres_url)
    return Databases(postgres_url, f"sqlite:///{tmp_path / 'new' / 'versemill.db'}")


@pytest.fixture
def source(databases: Databases) -> Iterator[JobQueue]:
    with opened(databases.source_url) as queue:
        yield queue


class TestCopy:
    def test_every_row_arrives_as_it_was(self, databases: Databases, source: JobQueue) -> None:
        fill(source)
        before = rows(source)
        copied = databases.copy()
        with opened(databases.target_url) as target:
            assert rows(target) == before
        assert rows(source) == before
        assert copied.rows == {name: len(found) for name, found in before.items()}
        assert all(copied.rows.values())
        assert copied.damaged == []

    def test_there_and_back_again(self, sqlite_url: str, postgres_url: str, tmp_path: Path) -> None:
        """What SQLite has stored, to the byte and the bit."""
        with opened(sqlite_url) as queue:
            fill(queue)
        back = f"sqlite:///{tmp_path / 'back.db'}"
        Databases(sqlite_url, postgres_url).copy()
        Databases(postgres_url, back).copy()
        assert _stored(back) == _stored(sqlite_url)

    def test_a_half_trained_job_goes_on(self, databases: Databases, source: JobQueue) -> None:
        half = fill(source)
        databases.copy()
        with opened(databases.target_url) as target:
            claim = target.claim()
            assert (claim.job_id, claim.attempt) == (half.job_id, half.attempt + 1)
            latest = worker_api.latest_checkpoint(target.store, claim.job_id)
            assert latest is not None
            assert b"".join(worker_api.read_checkpoint(target.store, latest.id)) == b"small"
            assert worker_api.load_text(target.store, claim) == worker_api.load_text(
                source.store, half
            )

    def test_an_interrupted_job_is_found_interrupted(
        self, databases: Databases, source: JobQueue
    ) -> None:
        claim = trained(source)
        source.expire(claim)
        write(source, delete(Worker))
        databases.copy()
        with opened(databases.target_url) as target:
            assert target.job(claim.job_id).state_shown == "interrupted"
            assert worker_api.sweep(target.store) == [claim.job_id]
            assert target.claim().attempt == claim.attempt + 1

    def test_numbers_once_given_do_not_come_back(
        self, databases: Databases, source: JobQueue
    ) -> None:
        claim = fill(source)
        service.remove(source.store, claim.job_id, ANN)
        databases.copy()
        with opened(databases.target_url) as target:
            assert target.submit().id == claim.job_id + 1
            assert target.checkpoint(target.claim(), step=1) == 2 * claim.job_id + 1
            service.add_corpus(
                target.store, "a", Text(("text\n",)), "a.txt", Principal("somebody new")
            )
            assert target.count(User) == 3

    def test_numbers_of_an_emptied_installation(
        self, databases: Databases, source: JobQueue
    ) -> None:
        service.remove(source.store, source.submit().id, ANN)
        databases.copy()
        with opened(databases.target_url) as target:
            assert target.submit().id == 2

    def test_a_damaged_checkpoint_is_copied_and_named(
        self, databases: Databases, source: JobQueue
    ) -> None:
        claim = fill(source)
        damaged = update(CheckpointChunk).where(CheckpointChunk.number == 1)
        write(source, damaged.where(CheckpointChunk.checkpoint_id == 1).values(data=b"x"))
        before = rows(source)
        assert databases.copy().damaged == ["checkpoint 1 (step 10) of job 1 (starter-zh-gru-1)"]
        with opened(databases.target_url) as target:
            assert rows(target) == before
            assert target.claim().job_id == claim.job_id

    def test_progress_is_told(self, databases: Databases, source: JobQueue) -> None:
        fill(source)
        databases.copy()
        assert "copying checkpoint_chunks: 7 of 12 rows" in databases.message
        assert "checking checkpoint_chunks: 12 of 12 rows" in databases.message

    def test_nobody_writes_to_the_source_meanwhile(
        self, databases: Databases, source: JobQueue
    ) -> None:
        source.submit()
        refused = 0

        def try_to_write(_results: str) -> None:
            nonlocal refused
            with other_client(databases.source_url) as engine, engine.connect() as connection:
                with pytest.raises(OperationalError):
                    connection.execute(update(Job).values(name="another"))
                refused += 1

        transfer.copy_to(databases.source_url, databases.target_url, status=try_to_write)
        assert refused > 0


def _stored(url: str) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(make_url(url).database or "")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = sorted(name for (name,) in tables)
        return {
            name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)
            for name in names
        }


class TestRefused:
    def test_while_a_lease_is_live(self, databases: Databases, source: JobQueue) -> None:
        claim = source.running()
        said = databases.refusal()
        assert f"in use: worker {claim.worker_name} is working on job {claim.job_id}" in said

    def test_while_a_lease_is_live_though_its_worker_is_gone(
        self, databases: Databases, source: JobQueue
    ) -> None:
        source.running()
        write(source, delete(Worker))
        assert "forgotten after 30 s" in databases.refusal()

    def test_while_an_idle_worker_could_claim(self, databases: Databases, source: JobQueue) -> None:
        source.submit()
        worker = source.worker()
        assert f"worker {worker.name} is alive" in databases.refusal()
        source.age_worker(worker, seen=worker_api.LEASE_SECONDS + 1)
        databases.copy()

    def test_many_workers_are_not_all_listed(self, databases: Databases, source: JobQueue) -> None:
        for _ in range(5):
            source.worker()
        assert "worker gpu-3 is alive, and 2 more" in databases.refusal()

    def test_a_target_that_holds_anything(self, databases: Databases, source: JobQueue) -> None:
        fill(source)
        with opened(databases.target_url) as target:
            target.submit("theirs")
            before = rows(target)
        with pytest.raises(DatabaseError, match=r"is not empty: it has .*jobs, .*events"):
            databases.copy()
        with opened(databases.target_url) as target:
            assert rows(target) == before

    def test_a_target_without_schema(self, sqlite_url: str, empty_postgres_url: str) -> None:
        with pytest.raises(SchemaError, match="has not the schema"):
            Databases(sqlite_url, empty_postgres_url).copy()

    def test_a_source_that_is_not_there(self, postgres_url: str, tmp_path: Path) -> None:
        with pytest.raises(SchemaError, match="is empty"):
            Databases(f"sqlite:///{tmp_path / 'none.db'}", postgres_url).copy()
        assert list(tmp_path.glob("none*")) == []

    def test_an_sqlite_file_by_another_path(self, sqlite_url: str, tmp_path: Path) -> None:
        (tmp_path / "link.db").symlink_to(tmp_path / "versemill.db")
        for name in ("versemill.db", "../" + tmp_path.name + "/versemill.db", "link.db"):
            with pytest.raises(DatabaseError, match="is the one to be copied"):
                Databases(sqlite_url, f"sqlite:///{tmp_path}/{name}").copy()

    def test_a_postgresql_database_by_another_url(self, postgres_url: str) -> None:
        parsed = make_url(postgres_url).set(drivername="postgresql+psycopg")
        other = parsed.update_query_dict({"application_name": "another"})
        with pytest.raises(DatabaseError, match="is the one to be copied"):
            Databases(postgres_url, other.render_as_string(hide_password=False)).copy()


class TestFailures:
    """However it ends, the target is empty."""

    def test_interrupted(self, databases: Databases, source: JobQueue) -> None:
        fill(source)

        def interrupt(message: str) -> None:
            if message.startswith("checking checkpoint_chunks"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            transfer.copy_to(databases.source_url, databases.target_url, status=interrupt)
        with opened(databases.target_url) as target:
            assert not any(rows(target).values())
        databases.copy()

    @pytest.mark.parametrize("databases", ["to postgresql", "to sqlite"], indirect=True)
    def test_postgresql_goes_away(
        self, databases: Databases, source: JobQueue, postgres_url: str
    ) -> None:
        fill(source)
        source.store.close()

        def kill(message: str) -> None:
            if message.startswith("copying checkpoint_chunks: 7 "):
                with other_client(postgres_url) as engine, engine.begin() as connection:
                    connection.execute(
                        text(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        )
                    )

        with pytest.raises(DatabaseError) as failed:
            transfer.copy_to(databases.source_url, databases.target_url, status=kill)
        assert "\n" not in str(failed.value)
        with opened(databases.target_url) as target:
            assert not any(rows(target).values())

    def test_the_target_is_full(self, sqlite_url: str, postgres_url: str, tmp_path: Path) -> None:
        with opened(sqlite_url) as queue:
            fill(queue)
        Databases(sqlite_url, postgres_url).copy()
        target_url = f"sqlite:///{tmp_path / 'small.db'}"

        def narrow(connection: object, _record: object) -> None:
            if isinstance(connection, sqlite3.Connection):
                connection.execute("PRAGMA max_page_count = 2000")

        event.listen(Pool, "connect", narrow)
        try:
            assert "make room on the disk" in Databases(postgres_url, target_url).refusal()
        finally:
            event.remove(Pool, "connect", narrow)

    def test_what_changes_on_the_way_is_noticed(
        self, databases: Databases, source: JobQueue
    ) -> None:
        fill(source)
        with opened(databases.target_url), other_client(databases.target_url) as engine:
            with engine.begin() as connection:
                for statement in _FORGERS[engine.dialect.name]:
                    connection.execute(text(statement))
            said = databases.refusal()
            with engine.begin() as connection:
                connection.execute(text(_STOP[engine.dialect.name]))
        assert "not those that were sent in table lyrics" in said
        databases.copy()

    def test_a_target_that_is_another_database_is_noticed(
        self, sqlite_url: str, postgres_url: str
    ) -> None:
        with opened(sqlite_url) as queue:
            fill(queue)
        written = False

        def write_too(message: str) -> None:
            nonlocal written
            if message.startswith("copying users") and not written:
                written = True
                with opened(postgres_url) as other, other.store.unit_of_work() as uow:
                    uow.execute(text("INSERT INTO users VALUES (99, 'eve', now())"))
                    uow.commit()

        with pytest.raises(DatabaseError, match="3 rows arrived where 2 were sent in table users"):
            transfer.copy_to(sqlite_url, postgres_url, status=write_too)
        with opened(postgres_url) as target:
            assert (target.count(User), target.count(Job)) == (1, 0)


_FORGERS = {
    "sqlite": [
        "CREATE TRIGGER forger AFTER INSERT ON lyrics "
        "BEGIN UPDATE lyrics SET text = text || '.' WHERE id = 3 AND new.id = 3; END"
    ],
    "postgresql": [
        "CREATE FUNCTION forge() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF new.id = 3 THEN new.text = new.text || ''.''; END IF; RETURN new; END'",
        "CREATE TRIGGER forger BEFORE INSERT ON lyrics FOR EACH ROW EXECUTE FUNCTION forge()",
    ],
}
_STOP = {"sqlite": "DROP TRIGGER forger", "postgresql": "DROP FUNCTION forge CASCADE"}
