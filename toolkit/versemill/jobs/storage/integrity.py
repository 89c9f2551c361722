"""Whether a database is whole: its file, its tables, and whether it can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from versemill.errors import DamagedDatabaseError, DatabaseError
from versemill.jobs.storage.database import open_unchecked
from versemill.jobs.storage.tables import Base

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from versemill.jobs.storage.database import Database


def require_whole(url: str, *, tables: bool = True) -> None:
    """Reads a whole SQLite file once, compares tables, and writes without keeping it.

    Args:
        url: of a database that is there.
        tables: compare the tables with ours; not for a schema that is not ours.

    Raises:
        DamagedDatabaseError: something is wrong with the file or the tables.
        DatabaseError: it cannot be reached, read or written.
    """
    database = open_unchecked(url)
    try:
        with database.plain_errors(), database.writer.connect() as connection:
            if database.path is not None:
                _check_file(database, connection)
            if tables:
                _check_tables(database, connection)
            _try_to_write(database, connection)
            connection.rollback()
    finally:
        database.close()


def _check_file(database: Database, connection: Connection) -> None:
    found = str(connection.execute(text("PRAGMA quick_check(1)")).scalar())
    if found != "ok":
        raise DamagedDatabaseError(f"database {database.shown} is damaged: {_one_line(found)}")


def _check_tables(database: Database, connection: Connection) -> None:
    """Compares names of tables and columns."""
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    for table in Base.metadata.sorted_tables:
        if table.name not in there:
            raise DamagedDatabaseError(f"database {database.shown} lacks the table {table.name}")
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        missing = sorted({column.name for column in table.columns} - columns)
        if missing:
            raise DamagedDatabaseError(
                f"table {table.name} of database {database.shown} lacks {', '.join(missing)}"
            )


def _try_to_write(database: Database, connection: Connection) -> None:
    if database.path is not None:
        connection.execute(text("PRAGMA user_version = 0"))
    elif connection.execute(text("SHOW transaction_read_only")).scalar() == "on":
        raise DatabaseError("this PostgreSQL server only reads; connect to the primary")


def _one_line(found: str) -> str:
    return " ".join(found.split())[:200]
