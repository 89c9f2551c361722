"""Units of work on a database.

    with store.unit_of_work() as uow:
        ...
        uow.commit()

Leaving the block without `commit` rolls back. None is open while anything is computed.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from sqlalchemy import ClauseElement, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from versemill.jobs.storage.database import Database, connect
from versemill.jobs.storage.sqlite_connection import BULK, is_locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import CursorResult, Engine, Select, Table
    from sqlalchemy.dialects.postgresql import Insert as PostgreSQLInsert
    from sqlalchemy.dialects.sqlite import Insert as SQLiteInsert
    from sqlalchemy.sql.base import Executable

    from versemill.jobs.storage.tables import Base

LOCKS = {
    "claims": 0x7665_7273_6501,
    "texts": 0x7665_7273_6502,
    "users": 0x7665_7273_6503,
}
"""Advisory locks on PostgreSQL. SQLite needs none: one transaction writes at a time."""

_BEGIN_SECONDS = 5.0

T = TypeVar("T")


class UnitOfWork:
    """One transaction that writes; made by `Store.unit_of_work`."""

    def __init__(self, session: Session, dialect: str) -> None:
        self.session = session
        self._dialect = dialect

    def commit(self) -> None:
        """Keeps everything done so far."""
        self.session.commit()

    def execute(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Runs a statement; objects loaded earlier are not brought up to date."""
        options = {"synchronize_session": False, "autoflush": False}
        done = self.session.execute(statement, values, execution_options=options)
        return cast("CursorResult[Any]", done)

    def scalar(self, statement: Select[T]) -> T | None:
        """First column of the first row, or None."""
        return self.session.scalar(statement)

    def lock(self, name: Literal["claims", "texts", "users"], *, shared: bool = False) -> None:
        """Waits until nobody else holds the lock (or, shared, holds it alone); freed at the end."""
        if self._dialect == "postgresql":
            function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
            self.session.execute(text(f"SELECT {function}(:key)"), {"key": LOCKS[name]})

    def insert_if_absent(
        self, table: type[Base], values: Mapping[str, Any], *, key: str, returning: str = ""
    ) -> Any:
        """Inserts a row unless one with the same `key` exists.

        Returns:
            The new row's `returning`, or else `key`; None if nothing was inserted.
        """
        statement = _insert_if_absent(self._dialect, table.__table__, key, returning or key)
        return self.execute(statement, values).scalar_one_or_none()

    def put(
        self, table: type[Base], rows: Sequence[Mapping[str, Any]], *, key: Sequence[str]
    ) -> None:
        """Inserts rows, replacing those with the same key, so that writing twice does no harm.

        Values are plain ones: the statement is made once, and no SQL of a row would get into it.
        """
        for row in rows:
            statement = _put(self._dialect, table.__table__, tuple(row), tuple(key))
            if any(isinstance(value, ClauseElement) for value in row.values()):
                self.execute(statement.values(dict(row)))  # a parameter cannot be an expression
            else:
                self.execute(statement, row)


def _insert(dialect: str, table: Table) -> PostgreSQLInsert | SQLiteInsert:
    # ON CONFLICT is the dialects' own; importing both would cost every command.
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


@cache
def _put(
    dialect: str, table: Table, columns: tuple[str, ...], key: tuple[str, ...]
) -> PostgreSQLInsert | SQLiteInsert:
    """Inserts or replaces. Building it costs more than running it."""
    statement = _insert(dialect, table)
    changed = {name: statement.excluded[name] for name in columns if name not in key}
    return statement.on_conflict_do_update(index_elements=list(key), set_=changed)


@cache
def _insert_if_absent(dialect: str, table: Table, key: str, returning: str) -> Executable:
    """Inserts or does nothing. Building it costs more than running it."""
    statement = _insert(dialect, table).on_conflict_do_nothing(index_elements=[key])
    return statement.returning(table.c[returning])


class Store:
    """The job queue's only access to the database; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, url: str, *, connections: int = 1) -> Store:
        """`Store(connect(url))`; raises as `versemill.jobs.storage.database.connect` does."""
        return cls(connect(url, connections=connections))

    def close(self) -> None:
        """Closes every connection."""
        self.database.close()

    @contextmanager
    def unit_of_work(self, *, bulk: bool = False) -> Iterator[UnitOfWork]:
        """A transaction that writes.

        Args:
            bulk: it writes or deletes megabytes, and lets others that wait to write go first.

        Raises:
            DatabaseError: whatever the driver raised, in one line.
        """
        with self.database.plain_errors(), self._begun(self.database.writer, bulk=bulk) as session:
            yield UnitOfWork(session, self.database.dialect)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads; nothing is kept.

        Raises:
            DatabaseError: whatever the driver raised, in one line.
        """
        with self.database.plain_errors(), self._begun(self.database.engine) as session:
            yield session

    @contextmanager
    def _begun(self, engine: Engine, *, bulk: bool = False) -> Iterator[Session]:
        """The one retry for a locked SQLite: at BEGIN nothing has been done yet."""
        with Session(engine, autoflush=False, expire_on_commit=False) as session:
            give_up_at = time.monotonic() + _BEGIN_SECONDS
            while True:
                try:
                    session.connection(execution_options={BULK: bulk})
                    break
                except OperationalError as error:
                    session.rollback()
                    if not is_locked(error) or time.monotonic() > give_up_at:
                        raise
                    time.sleep(0.05)
            yield session
