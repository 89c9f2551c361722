"""Real databases and brokers for tests: SQLite files, throw-away PostgreSQL and Valkey servers.

Instead of starting PostgreSQL, `VERSEMILL_TEST_POSTGRES_URL` can name one (its user must be
allowed to create databases). A server that cannot be had is an error, never a skip.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from servers import PostgreSQL, Valkey
from versemill.jobs.storage.database import HEAD, parse_url, upgrade
from versemill.jobs.storage.tables import Base
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

pytest_plugins = ["process_check"]

# Distributions with suites of their own, which are run where those are installed.
collect_ignore = ["third_party"]

POSTGRES_URL = "VERSEMILL_TEST_POSTGRES_URL"

# Read when torch is first imported. Tiny tensors: two threads cost more than they bring, and
# hundreds of times more where other processes keep the cores busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Imports make objects by the hundred thousand and next to no garbage.
gc.set_threshold(20_000)

# As most systems have it: plugin folders that others can write to are refused.
os.umask(0o022)

# A busy machine may be slow at any moment; pytest-timeout watches for real hangs.
settings.register_profile("versemill", deadline=None)
settings.load_profile("versemill")


SLOW_FIXTURES = {"postgres_server", "redis_server", "redis", "trained_home"}
"""Servers, and a job that was trained."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what `make test-fast` leaves out, besides the tests that are marked by hand."""
    for item in items:
        needs = SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if needs or "postgresql" in getattr(getattr(item, "callspec", None), "params", {}).values():
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """What is there now stays: no test need search it for garbage."""
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server's maintenance database; one server per test process."""
    given = os.environ.get(POSTGRES_URL)
    if given:
        yield given
        return
    with _folder() as folder, PostgreSQL(folder) as server:
        yield server.url


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[Engine]:
    """A migrated database, emptied between tests: copying one takes ten times as long."""
    with _postgres_database(postgres_server) as url:
        upgrade(url)
        engine = create_engine(parse_url(url), poolclass=NullPool)
        yield engine
        engine.dispose()


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of a PostgreSQL database of this test's own, without tables."""
    with _postgres_database(postgres_server) as url:
        yield url


@pytest.fixture
def postgres_url(migrated_postgres: Engine) -> Iterator[str]:
    """URL of a migrated PostgreSQL database without rows, as if it were new."""
    yield migrated_postgres.url.render_as_string(hide_password=False)
    with migrated_postgres.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        tables = ", ".join(Base.metadata.tables)
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Valkey]:
    """A broker for all tests of a process; whoever kills it starts it again."""
    with _folder() as folder, Valkey(folder) as server:
        yield server


@pytest.fixture
def redis() -> Iterator[Valkey]:
    """A broker of this test's own, without data, that it may kill."""
    with _folder() as folder, Valkey(folder) as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, from which others are copied fast."""
    path = tmp_path_factory.mktemp("template") / "versemill.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """URL of a fresh, migrated SQLite database."""
    path = tmp_path / "versemill.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh, migrated database of each kind in turn."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store on a fresh database of each kind in turn, for up to four threads."""
    opened = Store.open(database_url, connections=4)
    yield opened
    opened.close()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder with a path short enough for a socket, and open to a server's own user."""
    folder = Path(tempfile.mkdtemp(prefix="versemill-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _postgres_database(server: str) -> Iterator[str]:
    name = f"versemill_test_{uuid.uuid4().hex}"
    engine = create_engine(parse_url(server), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
