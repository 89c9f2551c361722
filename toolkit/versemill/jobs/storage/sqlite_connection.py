"""How SQLite is opened: what each connection is told, and how its transactions begin."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

from sqlalchemy import event

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

WRITING = "versemill_writing"
"""Execution option: a transaction that will write (SQLite: BEGIN IMMEDIATE)."""
BULK = "versemill_bulk"
"""Execution option: one that writes much, and lets others that wait go first."""

BUSY_SECONDS = 10
"""How long a transaction waits for others that write."""
_POLL_SECONDS, _BULK_POLL_SECONDS = 0.002, 0.025  # seconds


def prepare(engine: Engine) -> None:
    """Has every connection of an engine on SQLite set up, and its transactions begin our way."""
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)


def is_locked(error: BaseException) -> bool:
    """Whether SQLite says that somebody else is writing, so that trying again may help."""
    cause = getattr(error, "orig", None) or error
    return isinstance(cause, sqlite3.OperationalError) and "locked" in str(cause)


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys = ON")
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if names and "alembic_version" not in names:
        return  # somebody else's file: it will be refused, and is left as it was
    for _ in range(100):  # the change to WAL does not wait for others by itself
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if not is_locked(error):
                raise
            time.sleep(0.05)
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(WRITING, False):
        _begin_writing(
            connection, _BULK_POLL_SECONDS if options.get(BULK, False) else _POLL_SECONDS
        )
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_writing(connection: Connection, poll_seconds: float) -> None:
    """Begins once nobody else writes, looking every so often whether anybody does.

    SQLite has no queue: whoever waits looks again, by SQLite's own way ever more rarely, up to
    every 100 ms. Beside four slots that write checkpoints a claim would then take seconds at
    times; it takes one or two of their transactions where it looks more often than they do.
    """
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - for the type checker
    give_up_at = time.monotonic() + BUSY_SECONDS
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while not driver.in_transaction and time.monotonic() < give_up_at:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_locked(error):
                    break
                time.sleep(poll_seconds)
        if not driver.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # whose error SQLAlchemy passes on
    finally:
        driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
