"""Which database, opened how, and whether its schema is ours.

SQLite is created silently at first use; PostgreSQL changes only by `versemill db upgrade`. The
check costs one SELECT; Alembic is imported only when something has to be migrated.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import column, create_engine, inspect, make_url, select, table, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import QueuePool

from versemill.errors import DamagedDatabaseError, DatabaseError, RefusedDataError, SchemaError
from versemill.files import make_private_file, make_private_folder
from versemill.jobs.states import LEASE_SECONDS
from versemill.jobs.storage.columns import UTCDateTime, db_now
from versemill.jobs.storage.filesystems import refuse_network_filesystem
from versemill.jobs.storage.revisions import HEAD, REVISIONS
from versemill.jobs.storage.sqlite_connection import BUSY_SECONDS, WRITING, prepare
from versemill.redaction import ENCODE, is_ambiguous, redacted, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

_TIMEOUTS = {
    # A server that has vanished without a word is given up well within a lease.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
_IDLE_SECONDS = 15
"""A process frozen within a transaction holds its locks for so long, and then loses it."""
CONNECTION_SETTINGS: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "versemill",
    **_TIMEOUTS,
    "options": f"-c idle_in_transaction_session_timeout={_IDLE_SECONDS}s",
}
"""How PostgreSQL is connected to, unless the URL says otherwise."""

_UPGRADE_LOCK = 0x7665_7273_6500  # any number of our own; see `store.LOCKS` for the others
_SHOWN = 3  # of the workers that keep from upgrading
_WRITE_HERE = "write sqlite:////path/to/file.db or postgresql://user@host/database"


@dataclass(frozen=True, kw_only=True)
class Database:
    """An open database; owns its connections until `close`.

    Attributes:
        engine: for transactions that only read.
        writer: the same connections, for transactions that write.
        shown: the URL as messages may show it: no password, no query.
        path: the SQLite file; None on PostgreSQL.
    """

    engine: Engine
    writer: Engine
    shown: str
    path: Path | None

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()

    @contextmanager
    def plain_errors(self) -> Iterator[None]:
        """Turns what the driver raises into a `DatabaseError` of one line."""
        try:
            yield
        except (DataError, IntegrityError, ProgrammingError) as error:
            raise RefusedDataError(self._in_words(error)) from error
        except SQLAlchemyError as error:
            words = self._in_words(error)
            if _is_damage(words):
                raise DamagedDatabaseError(words) from error
            raise DatabaseError(words, reason="" if "; " in words else "unusable") from error

    def _in_words(self, error: SQLAlchemyError) -> str:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
        reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        return f"database {self.shown}: {self._redacted(reason)}{_known_cause(reason)}"

    def _redacted(self, message: str) -> str:
        return redacted(message, self.engine.url.render_as_string(hide_password=False))


@dataclass(frozen=True, kw_only=True)
class SchemaStatus:
    """How a database's schema compares with ours.

    Attributes:
        database: its URL, without password.
        revision: its schema; None where there is none yet.
        head: the schema this version of Versemill needs.
    """

    database: str
    revision: str | None
    head: str

    @property
    def verdict(self) -> str:
        """One of `current`, `missing`, `older`, `newer`."""
        if self.revision is None:
            return "missing"
        if self.revision == self.head:
            return "current"
        return "older" if self.revision in REVISIONS else "newer"

    def require_current(self) -> None:
        """Raises `SchemaError`, naming the command to run, unless the schema is ours."""
        if self.verdict == "missing":
            raise SchemaError(f"database {self.database} is empty", reason="missing")
        if self.verdict == "older":
            raise SchemaError(
                f"database {self.database} has schema {self.revision}, this version of Versemill "
                f"needs {self.head}",
                reason="older",
            )
        if self.verdict == "newer":
            raise SchemaError(
                f"database {self.database} has schema {self.revision}, newer than this version "
                f"of Versemill knows ({self.head})",
                reason="newer",
            )


def connect(url: str, *, connections: int = 1) -> Database:
    """Opens the database at `url` and checks its schema.

    Args:
        url: `sqlite:///…` or `postgresql://…`.
        connections: most connections held at a time: 1 for a command, slots + 2 for a worker.

    Raises:
        DatabaseError: it cannot be reached, read or written.
        SchemaError: its schema is not ours; the message names the command to run.
    """
    database = open_unchecked(url, connections=connections)
    try:
        found = _status(database)
        if found.verdict == "missing" and database.path is not None:
            _migrate(database)
        else:
            found.require_current()
    except BaseException:
        database.close()
        raise
    return database


def schema_status(url: str) -> SchemaStatus:
    """Which schema the database at `url` has; creates nothing.

    Raises:
        DatabaseError: it cannot be reached or read.
    """
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None and not path.exists():
        return SchemaStatus(database=shown(url), revision=None, head=HEAD)
    database = open_unchecked(url)
    try:
        return _status(database)
    finally:
        database.close()


def upgrade(url: str) -> SchemaStatus:
    """Brings the schema to ours, under a lock, and returns what it was before.

    Raises:
        DatabaseError: the database cannot be reached or written, or workers are alive, which know
            its present schema only.
        SchemaError: its schema is newer than this version of Versemill.
    """
    database = open_unchecked(url)
    try:
        before = _status(database)
        if before.verdict == "newer":
            before.require_current()
        if before.verdict != "current":
            _migrate(database)
        return before
    finally:
        database.close()


def parse_url(url: str, *, name: str = "VERSEMILL_DATABASE_URL") -> URL:
    """Reads a database URL; raises `DatabaseError`, which says `name` and never a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseError(f"{name} is no database URL; {_WRITE_HERE}") from None
    if is_ambiguous(url):
        raise DatabaseError(f"{name} can be read in two ways; {ENCODE}")
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise DatabaseError(
            f"{name} names {parsed.drivername!r}, which is not supported; {_WRITE_HERE}"
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise DatabaseError(
            f"an SQLite database in memory cannot be shared with workers; {_WRITE_HERE}"
        )
    return parsed


def sqlite_path(url: URL) -> Path | None:
    """The file of an SQLite database; None on PostgreSQL."""
    if url.get_backend_name() != "sqlite":
        return None
    return Path((url.database or "").removeprefix("file:"))


def open_unchecked(url: str, *, connections: int = 1) -> Database:
    """Opens a database whatever its schema; only migration and diagnosis want this."""
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    if path is not None and not path.exists():
        _make_room(path, shown(url))
        if parsed.query.get("mode") not in {"ro", "rw", "memory"}:
            with contextlib.suppress(OSError):  # SQLite will say what is wrong
                make_private_file(path)  # SQLite's own files beside it get its mode
    settings: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_SECONDS}
    if path is None:
        settings = CONNECTION_SETTINGS
    engine = create_engine(
        parsed,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=path is None,
        connect_args={k: v for k, v in settings.items() if k not in parsed.query},
        hide_parameters=True,
        json_serializer=_strict_json,
    )
    if path is not None:
        prepare(engine)
    writer = engine.execution_options(**{WRITING: True})
    return Database(engine=engine, writer=writer, shown=shown(url), path=path)


def _make_room(path: Path, database: str) -> None:
    refuse_network_filesystem(path)
    try:
        make_private_folder(path.parent)
    except OSError as error:
        raise DatabaseError(
            f"database {database}: its folder cannot be made ({error.strerror}); "
            "set VERSEMILL_HOME or VERSEMILL_DATABASE_URL to a place you can write"
        ) from None


def _strict_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _status(database: Database) -> SchemaStatus:
    with database.plain_errors(), database.engine.connect() as connection:
        revision = _revision(connection)
    if revision is None and database.path is not None:
        _refuse_foreign(database)
    return SchemaStatus(database=database.shown, revision=revision, head=HEAD)


def _revision(connection: Connection) -> str | None:
    try:
        with connection.begin():
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except DBAPIError as error:
        # SQLite says "no such table", PostgreSQL has a code for it.
        missing = "no such table" in str(error.orig)
        if missing or getattr(error.orig, "sqlstate", None) == "42P01":
            return None
        raise
    return None if found is None else str(found)


def _refuse_foreign(database: Database) -> None:
    with database.plain_errors(), database.engine.begin() as connection:
        names = set(connection.execute(text("SELECT name FROM sqlite_master")).scalars())
    if names and "alembic_version" not in names:
        raise SchemaError(
            f"database {database.shown} holds something else; "
            "set VERSEMILL_DATABASE_URL to another file"
        )


def _migrate(database: Database) -> None:
    """Runs the missing migrations in one transaction; a second process waits and does nothing."""
    with database.plain_errors(), database.writer.connect() as connection:
        if database.path is not None:
            # A migration may rebuild a table; dropping the old one must not cascade. The pragma
            # does nothing inside a transaction, hence the driver's own connection.
            driver = connection.connection.dbapi_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - for the type checker
            driver.execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            if database.path is None:
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                connection.execute(lock, {"key": _UPGRADE_LOCK})
            if inspect(connection).has_table("alembic_version"):
                _refuse_live_workers(database, connection)
            _run_migrations(connection)
        connection.invalidate()  # the next one has foreign keys on again


def _refuse_live_workers(database: Database, connection: Connection) -> None:
    """Raises if workers are alive in a schema older than ours; whose columns are as of 0001."""
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is None or revision == HEAD:  # somebody else has just upgraded it
        return
    seen_at = column("seen_at", UTCDateTime())
    workers = table("workers", column("name"), column("host"), column("pid"), seen_at)
    live = select(workers).where(seen_at >= db_now(-LEASE_SECONDS)).order_by("name", "pid")
    found = [f"{w.name} (host {w.host}, pid {w.pid})" for w in connection.execute(live)]
    if found:
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        raise DatabaseError(
            f"database {database.shown} is not upgraded while workers are alive: "
            f"{', '.join(found[:_SHOWN] + more)}; end them where they run (Ctrl-C or SIGTERM: they "
            f"hand their jobs over), or, if they have died, wait {LEASE_SECONDS:.0f} s",
            reason="workers-alive",
        )


def _run_migrations(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "versemill_migrations:")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def _is_damage(reason: str) -> bool:
    return any(words in reason for words in ("not a database", "malformed", "unsupported file"))


def _known_cause(reason: str) -> str:
    """What is known of a driver's message, as the end of a sentence; empty if nothing is."""
    lowered = reason.lower()
    if _is_damage(lowered):
        return "; the file is damaged or no SQLite database"
    if "readonly" in lowered or "unable to open" in lowered:
        return "; make the file and its folder writable, or set VERSEMILL_DATABASE_URL"
    if "locked" in lowered:
        return f"; another process has been writing for {BUSY_SECONDS} s; try again"
    if "full" in lowered or "no space" in lowered:
        return "; make room on the disk and try again"
    return ""
