"""Reading by plain SQL, with or without SQLAlchemy: importing it takes longer than most queries.

A statement is written once for both databases. `false`, `true` and `:name` mean the same to both;
`NOW` does not.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import Session

NOW = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",  # the text in which times are stored
    "postgresql": "clock_timestamp()",
}
"""The database's time, by dialect."""


class PlainSQL(Protocol):
    """A transaction that runs plain SQL."""

    dialect: str

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """The rows of a query, each to be read by column names."""
        ...


class SQLiteSQL:
    """Plain SQL through the standard library.

    Args:
        connection: whose rows are `sqlite3.Row`.
    """

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """The rows of a query, each to be read by column names."""
        return self._connection.execute(sql, dict(values or {})).fetchall()


class SessionSQL:
    """Plain SQL through SQLAlchemy, in the transaction of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.dialect = session.get_bind().dialect.name

    def rows(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """The rows of a query, each to be read by column names."""
        from sqlalchemy import text

        return [row._mapping for row in self._session.execute(text(sql), dict(values or {}))]


def among(column: str, values: Iterable[Any], name: str) -> tuple[str, dict[str, Any]]:
    """A condition that a column has one of the values, and its parameters `NAME_0`, `NAME_1`."""
    keys = {f"{name}_{i}": value for i, value in enumerate(values)}
    if not keys:
        return "1 = 0", keys
    if len(keys) == 1:
        return f"{column} = :{name}_0", keys
    return f"{column} IN ({', '.join(f':{key}' for key in keys)})", keys


def utc(value: str | datetime | None) -> datetime | None:
    """SQLite's text or PostgreSQL's time as an aware time in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value.astimezone(UTC)


def in_seconds(value: str | datetime | None) -> float | None:
    """A time of the database in seconds since 1970."""
    moment = utc(value)
    return None if moment is None else moment.timestamp()


def json_value(value: Any) -> Any:
    """A JSON column: SQLite gives its text, PostgreSQL what it holds."""
    return json.loads(value) if isinstance(value, str) else value
