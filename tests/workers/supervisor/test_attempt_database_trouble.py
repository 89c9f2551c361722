"""The database goes away in every way there is: trainers compute on, writes follow."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from servers import PostgreSQL
from versemill.jobs import service
from versemill.jobs.execution import recovery
from versemill.jobs.states import LEASE_SECONDS
from versemill.jobs.storage.database import upgrade
from worker_cluster import ENDLESS, Cluster, has_ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

    from versemill.jobs.views import JobView

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """A server of this file's own, which its tests may do anything to."""
    # Not in pytest's folder, which the server's user cannot reach when the tests run as root.
    folder = tempfile.TemporaryDirectory(prefix="versemill-pg-")
    with folder, PostgreSQL(Path(folder.name)) as started:
        yield started


@pytest.fixture
def postgres_cluster(server: PostgreSQL, tmp_path: Path) -> Iterator[Cluster]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    upgrade(server.url)
    cluster = Cluster(tmp_path, server.url)
    yield cluster
    cluster.close()


class Login:
    """A role that one worker logs in as, and that can be kept out."""

    def __init__(self, server: PostgreSQL) -> None:
        self.url = server.url.replace("postgres@", "alone@")
        self._server = server

    def create(self) -> None:
        self._do("DROP ROLE IF EXISTS alone", "CREATE ROLE alone SUPERUSER LOGIN")

    def refuse(self) -> None:
        terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'alone'"
        self._do("ALTER ROLE alone NOLOGIN", terminate)

    def allow(self) -> None:
        self._do("ALTER ROLE alone LOGIN")

    def _do(self, *statements: str) -> None:
        with psycopg.connect(self._server.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@contextlib.contextmanager
def login_of_its_own(server: PostgreSQL) -> Iterator[Login]:
    login = Login(server)
    login.create()
    yield login
    login.allow()


def assert_undisturbed(cluster: Cluster, job: JobView, trainer: psutil.Process, step: int) -> None:
    """The very trainer has gone on, and what it did has been written."""
    cluster.until(lambda: _step(cluster, job) > step)
    cluster.until_checkpoint(job, after=step)
    assert cluster.trainer() == trainer
    assert cluster.job(job).attempt == 1


def _step(cluster: Cluster, job: JobView) -> int:
    from versemill.errors import DatabaseError

    try:
        return cluster.job(job).step
    except DatabaseError:  # the test's own connection has to find back, too
        return 0


def test_a_restart(postgres_cluster: Cluster, server: PostgreSQL) -> None:
    job = postgres_cluster.submit(**ENDLESS)
    postgres_cluster.start_worker()
    trainer, step = postgres_cluster.until_training(job), postgres_cluster.job(job).step
    server.restart()
    assert_undisturbed(postgres_cluster, job, trainer, step)


def test_terminated_backends(postgres_cluster: Cluster, server: PostgreSQL) -> None:
    job = postgres_cluster.submit(**ENDLESS)
    postgres_cluster.start_worker()
    trainer, step = postgres_cluster.until_training(job), postgres_cluster.job(job).step
    for _ in range(3):
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'versemill'"
            )
        time.sleep(0.3)
    assert_undisturbed(postgres_cluster, job, trainer, step)


def test_away_for_longer_than_a_lease(postgres_cluster: Cluster, server: PostgreSQL) -> None:
    """When it is back every lease has expired: the holder comes before those who sweep."""
    job = postgres_cluster.submit(**ENDLESS)
    postgres_cluster.start_worker("--name", "holder")
    trainer = postgres_cluster.until_training(job)
    postgres_cluster.start_worker("--name", "successor")
    postgres_cluster.until(lambda: len(service.live_workers(postgres_cluster.store)) == 2)
    step = postgres_cluster.job(job).step
    server.kill()
    time.sleep(LEASE_SECONDS + 5)
    assert trainer.is_running()
    server.start()
    postgres_cluster.until(lambda: _step(postgres_cluster, job) > step)
    assert postgres_cluster.job(job).worker == "holder"
    assert postgres_cluster.job(job).attempt == 1
    assert trainer.is_running()


def test_one_that_was_cut_off_stops_when_its_job_was_requeued_meanwhile(
    postgres_cluster: Cluster, server: PostgreSQL
) -> None:
    """The network between one worker and the database fails; everybody else goes on."""
    everybodys = postgres_cluster.environment["VERSEMILL_DATABASE_URL"]
    job = postgres_cluster.submit(**ENDLESS)
    with login_of_its_own(server) as login:
        postgres_cluster.environment["VERSEMILL_DATABASE_URL"] = login.url
        postgres_cluster.start_worker("--name", "cut-off")
        trainer = postgres_cluster.until_training(job)
        postgres_cluster.until_checkpoint(job)
        login.refuse()
        postgres_cluster.until(lambda: "job 1: database" in postgres_cluster.log())
        assert trainer.is_running()
        postgres_cluster.expire_lease(job)
        assert recovery.sweep(postgres_cluster.store) == [job.id]
        postgres_cluster.environment["VERSEMILL_DATABASE_URL"] = everybodys
        postgres_cluster.start_worker("--name", "successor")
        postgres_cluster.until(
            lambda: any(m.startswith("resumed") for m in postgres_cluster.messages(job))
        )
        resumed = postgres_cluster.job(job).step
        login.allow()
        postgres_cluster.until(lambda: has_ended(trainer))
        postgres_cluster.until(lambda: "attempt 1 no longer holds job" in postgres_cluster.log(0))
        postgres_cluster.until_checkpoint(job, after=resumed)
    now = postgres_cluster.job(job)
    assert (now.worker, now.attempt) == ("successor", 2)
    epochs = [point.epoch for point in service.curve(postgres_cluster.store, job.id)]
    assert epochs == list(range(1, len(epochs) + 1))


def test_exhausted_connections(postgres_cluster: Cluster, server: PostgreSQL) -> None:
    job = postgres_cluster.submit(**ENDLESS)
    postgres_cluster.start_worker()
    trainer, step = postgres_cluster.until_training(job), postgres_cluster.job(job).step
    with contextlib.ExitStack() as taken:
        _take_all_connections(server, taken)
        postgres_cluster.until(lambda: "too many clients" in postgres_cluster.log())
        assert trainer.is_running()
    assert_undisturbed(postgres_cluster, job, trainer, step)


def test_a_locked_sqlite(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    trainer, step = sqlite_cluster.until_training(job), sqlite_cluster.job(job).step
    with contextlib.closing(sqlite3.connect(sqlite_cluster.home / "versemill.db")) as holder:
        holder.execute("BEGIN IMMEDIATE")
        sqlite_cluster.until(lambda: "locked" in sqlite_cluster.log())
        holder.rollback()
    assert_undisturbed(sqlite_cluster, job, trainer, step)


def _take_all_connections(server: PostgreSQL, taken: contextlib.ExitStack) -> None:
    """Terminates everybody else and takes every connection there is."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        (limit,) = connection.execute("SHOW max_connections").fetchone() or ("0",)
        others = "SELECT pid FROM pg_stat_activity WHERE application_name = 'versemill'"
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                for _ in range(int(limit)):
                    taken.enter_context(psycopg.connect(server.url))
            if not connection.execute(others).fetchall():
                return
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({others}) AS other")
