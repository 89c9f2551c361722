"""An installation as a whole: copied to another database, or backed up into one file.

Both are verified row by row before they count, and leave nothing behind when they fail.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import select, text, update

from versemill.errors import DatabaseError, SchemaError
from versemill.files import temporary_beside
from versemill.jobs.states import LEASE_SECONDS, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.database import connect, open_unchecked, schema_status
from versemill.jobs.storage.row_copy import (
    COPIED_TABLES,
    Copied,
    OpenTransaction,
    copy_rows,
    tables_with_rows,
)
from versemill.jobs.storage.tables import Attempt, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from versemill.jobs.storage.database import Database

_SHOWN = 3


def copy_to(source_url: str, target_url: str, *, status: Callable[[str], None]) -> Copied:
    """Copies an idle installation into an empty database, in one transaction.

    Nobody can write to the source meanwhile, and it stays as it was. A running job whose lease
    has expired is copied as it is: the target's workers find it interrupted and go on with it.

    Args:
        source_url: the installation.
        target_url: where to; an SQLite file that is not there is made, a PostgreSQL database
            needs our schema.
        status: is called with what is being done.

    Raises:
        DatabaseError: the source is in use, the target is the source or holds rows, one of them
            failed, or what arrived is not what was sent. The target is then as empty as before.
        SchemaError: one of them has not our schema; the message names the command to run.
    """
    with closing(_existing(source_url)) as source, _write_locked(source) as held:
        _refuse_use(held)
        with closing(_target(target_url, held)) as target, _writing(target) as emptied:
            filled = tables_with_rows(emptied)
            if filled:
                raise DatabaseError(
                    f"database {target.shown} is not empty: it has {', '.join(filled)}; nothing "
                    "is ever overwritten, so name an empty one"
                )
            return copy_rows(held, emptied, status)


def backup(source_url: str, file: Path, *, status: Callable[[str], None]) -> Copied:
    """Writes one consistent state of an installation, in use or not, into one SQLite file.

    The file is an installation of its own, in which no lease is live: what was running is found
    interrupted by the first worker there. It is readable by its owner only.

    Args:
        source_url: the installation.
        file: must not be there; appears when it is complete and verified.
        status: is called with what is being done.

    Raises:
        DatabaseError: the file is there or cannot be written, either database failed, or what
            arrived is not what was sent.
        SchemaError: the installation has not our schema.
    """
    file = file.absolute()
    if "?" in str(file):
        raise DatabaseError(f"{file} cannot be written in a URL; choose a path without '?'")
    with closing(_existing(source_url)) as source, _partial(file) as partial:
        with (
            _snapshot(source) as seen,
            closing(connect(f"sqlite:///{partial}")) as target,
            _writing(target) as emptied,
        ):
            copied = copy_rows(seen, emptied, status)
            live = update(Job).where(Job.state == State.RUNNING, Job.lease_until > db_now())
            emptied.execute(live.values(lease_until=db_now()))
        status("checking the file")
        _make_single(partial)
        _refuse_existing(file)
        partial.replace(file)
    return copied


def _existing(url: str) -> Database:
    schema_status(url).require_current()  # before opening, which might make a new file
    return open_unchecked(url)


def _target(url: str, source: OpenTransaction) -> Database:
    with closing(open_unchecked(url)) as named:
        if _is_same(named, source):
            raise DatabaseError(f"database {named.shown} is the one to be copied; name another")
        made_at_first_use = named.path is not None
    found = schema_status(url)
    if found.verdict == "older" or (found.verdict == "missing" and not made_at_first_use):
        raise SchemaError(
            f"database {found.database} has not the schema {found.head} yet", reason="target"
        )
    return connect(url)


def _is_same(named: Database, source: OpenTransaction) -> bool:
    """Whether both are one database, however their URLs are spelt."""
    path = source.database.path
    if named.path is not None:  # not opened: the source is locked
        return path is not None and named.path.exists() and named.path.samefile(path)
    if path is not None:
        return False
    with _snapshot(named) as other:
        return _identity(other) == _identity(source)


def _identity(transaction: OpenTransaction) -> tuple[object, ...]:
    """Of a PostgreSQL database: its server's start, and its place there."""
    query = (
        "SELECT extract(epoch FROM pg_postmaster_start_time()), oid, current_schema() "
        "FROM pg_database WHERE datname = current_database()"
    )
    return tuple(transaction.execute(text(query)).one())


@contextmanager
def _write_locked(database: Database) -> Iterator[OpenTransaction]:
    """A transaction during which nobody can write, and no worker can start or claim."""
    if database.path is not None:
        with database.plain_errors(), database.writer.begin() as connection:  # BEGIN IMMEDIATE
            yield OpenTransaction(database=database, connection=connection)
        return
    with _snapshot(database) as seen:
        # Before the first SELECT, with which the snapshot begins; parents first, as writers do.
        names = ", ".join([*(table.name for table in COPIED_TABLES), Worker.__tablename__])
        seen.execute(text("SET LOCAL lock_timeout = '10s'"))
        seen.execute(text(f"LOCK TABLE {names} IN SHARE MODE"))
        yield seen


@contextmanager
def _snapshot(database: Database) -> Iterator[OpenTransaction]:
    """A transaction that sees one state of the database, whatever others write."""
    engine = database.engine
    if database.path is None:
        engine = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    with database.plain_errors(), engine.begin() as connection:
        _disable_idle_timeout(database, connection)
        yield OpenTransaction(database=database, connection=connection)


@contextmanager
def _writing(database: Database) -> Iterator[OpenTransaction]:
    """A transaction that is committed at the end of the block, and rolled back by any error."""
    with database.plain_errors(), database.writer.begin() as connection:
        _disable_idle_timeout(database, connection)
        yield OpenTransaction(database=database, connection=connection)


def _disable_idle_timeout(database: Database, connection: Connection) -> None:
    """Lets the transaction wait for the other database for as long as that may take."""
    if database.path is None:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def _refuse_use(held: OpenTransaction) -> None:
    """Raises unless nobody works on a job, or could begin to as soon as the copy is made."""
    live_jobs = (
        select(Job.id, Job.name, Attempt.worker_name)
        .join(Attempt, (Attempt.job_id == Job.id) & (Attempt.number == Job.attempt))
        .where(Job.state == State.RUNNING, Job.lease_until > db_now())
        .order_by(Job.id)
    )
    live_workers = select(Worker.name).where(Worker.seen_at >= db_now(-LEASE_SECONDS))
    use = [
        f"worker {found.worker_name} is working on job {found.id} ({found.name})"
        for found in held.execute(live_jobs)
    ]
    use = use or [
        f"worker {name} is alive"
        for name in held.execute(live_workers.order_by(Worker.name)).scalars()
    ]
    if use:
        more = [f"and {len(use) - _SHOWN} more"] if len(use) > _SHOWN else []
        raise DatabaseError(
            f"database {held.database.shown} is in use: {', '.join(use[:_SHOWN] + more)}; "
            f"workers that have died are forgotten after {LEASE_SECONDS:.0f} s",
            reason="in-use",
        )


def _refuse_existing(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise DatabaseError(f"{file} is there already and is not overwritten; choose another name")


@contextmanager
def _partial(file: Path) -> Iterator[Path]:
    """An empty file beside `file`, readable by its owner only; gone at the end of the block."""
    _refuse_existing(file)
    with ExitStack() as made:
        try:
            partial = made.enter_context(temporary_beside(file, private=True))
        except OSError as error:
            raise DatabaseError(
                f"{file} cannot be written ({error.strerror}); "
                "choose a folder that is there and that you can write"
            ) from None
        try:
            yield partial
        finally:
            for left in ("-wal", "-shm", "-journal"):
                partial.with_name(partial.name + left).unlink(missing_ok=True)


def _make_single(file: Path) -> None:
    """Takes the write-ahead log into a closed SQLite file, and checks the whole of it."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise DatabaseError(
            f"{file} cannot be completed: {error}; make room and try again"
        ) from None
    if (mode, found) != ("delete", "ok"):
        raise DatabaseError(f"{file} is damaged ({mode}, {found}); check the disk")
