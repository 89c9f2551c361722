"""Every row of one database into another, and the proof that it arrived.

All tables but `workers` (rows of processes), as `Base.metadata` declares them, parents first.
Times, floats and bytes arrive exactly as they were; numbers once given do not come back.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, func, insert, literal, select, text

from versemill.errors import DatabaseError
from versemill.jobs.storage.tables import Base, CheckpointChunk, Job, StoredCheckpoint, Worker
from versemill.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from sqlalchemy import Column, Connection, CursorResult, Table
    from sqlalchemy.sql.base import Executable

    from versemill.jobs.storage.database import Database

COPIED_TABLES = [t for t in Base.metadata.sorted_tables if t.name != Worker.__tablename__]
"""What an installation is, parents before children."""

_ROWS = 200  # at a time; of rows with bytes one, which may have 64 MB


@dataclass(frozen=True, kw_only=True)
class OpenTransaction:
    """A transaction on a database, held by whoever made it."""

    database: Database
    connection: Connection

    def execute(
        self,
        statement: Executable,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Runs a statement; what the driver raises becomes a `DatabaseError` of one line."""
        with self.database.plain_errors():
            return self.connection.execute(statement, values)

    @contextmanager
    def rows(self, table: Table) -> Iterator[Iterator[list[dict[str, Any]]]]:
        """Every row of a table, in batches small enough for any memory."""
        heavy = any(isinstance(column.type, LargeBinary) for column in table.columns)
        options = {"yield_per": 1 if heavy else _ROWS}
        with self.database.plain_errors():
            found = self.connection.execute(select(table), execution_options=options)
        with found, closing(self._batches(found)) as batches:
            yield batches

    def _batches(self, found: CursorResult[Any]) -> Generator[list[dict[str, Any]]]:
        with self.database.plain_errors():
            for batch in found.mappings().partitions():
                yield [dict(row) for row in batch]


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What was copied.

    Attributes:
        rows: how many, by table.
        damaged: checkpoints whose bytes were already damaged; they were copied as they are.
    """

    rows: Mapping[str, int]
    damaged: list[str]


@dataclass
class _Sum:
    """Number and checksum of rows, the same in whatever order a database returns them."""

    rows: int = 0
    checksum: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        canonical = json.dumps(row, sort_keys=True, default=_plain).encode()
        digest = int.from_bytes(hashlib.sha256(canonical).digest(), "big")
        self.rows += 1
        self.checksum = (self.checksum + digest) % 2**256


def copy_rows(
    source: OpenTransaction, target: OpenTransaction, status: Callable[[str], None]
) -> Copied:
    """Copies every row, reads it back and compares; the caller commits.

    Args:
        source: sees one state of its database as long as this lasts.
        target: our schema without rows.
        status: is called with what is being done.

    Raises:
        DatabaseError: either database failed, or what arrived is not what was sent.
    """
    damaged: set[int] = set()
    rows = {}
    for table in COPIED_TABLES:
        sent = _send(source, target, table, damaged, status)
        arrived = _Sum()
        with target.rows(table) as batches:
            for batch in batches:
                for row in batch:
                    arrived.add(row)
                status(f"checking {table.name}: {arrived.rows:,} of {counted(sent.rows, 'row')}")
        _require_equal(target, table, sent, arrived)
        rows[table.name] = sent.rows
    for table in COPIED_TABLES:
        if table.autoincrement_column is not None:
            _continue_numbers(source, target, table, table.autoincrement_column)
    return Copied(rows=rows, damaged=_named(source, damaged))


def tables_with_rows(transaction: OpenTransaction) -> list[str]:
    """Names of the tables that hold anything."""
    return [
        table.name
        for table in COPIED_TABLES
        if transaction.execute(select(literal(1)).select_from(table).limit(1)).first() is not None
    ]


def _send(
    source: OpenTransaction,
    target: OpenTransaction,
    table: Table,
    damaged: set[int],
    status: Callable[[str], None],
) -> _Sum:
    expected = source.execute(select(func.count()).select_from(table)).scalar_one()
    sent = _Sum()
    with source.rows(table) as batches:
        for batch in batches:
            for row in batch:
                sent.add(row)
                if table.name == CheckpointChunk.__tablename__ and _is_damaged(row):
                    damaged.add(row["checkpoint_id"])
            target.execute(insert(table), batch)
            status(f"copying {table.name}: {sent.rows:,} of {counted(expected, 'row')}")
    return sent


def _require_equal(target: OpenTransaction, table: Table, sent: _Sum, arrived: _Sum) -> None:
    if sent.rows != arrived.rows:
        found = f"{counted(arrived.rows, 'row')} arrived where {sent.rows:,} were sent"
    elif sent.checksum != arrived.checksum:
        found = "the rows that arrived are not those that were sent"
    else:
        return
    raise DatabaseError(
        f"database {target.database.shown}: {found} in table {table.name}; "
        "nothing was kept; see that nobody else writes there and try again"
    )


def _is_damaged(chunk: Mapping[str, Any]) -> bool:
    return bool(hashlib.sha256(chunk["data"]).hexdigest() != chunk["sha256"])


def _named(source: OpenTransaction, damaged: set[int]) -> list[str]:
    named = (
        select(StoredCheckpoint.id, StoredCheckpoint.step, StoredCheckpoint.job_id, Job.name)
        .join(Job, Job.id == StoredCheckpoint.job_id)
        .where(StoredCheckpoint.id.in_(damaged))
        .order_by(StoredCheckpoint.id)
    )
    return [
        f"checkpoint {found.id} (step {found.step:,}) of job {found.job_id} ({found.name})"
        for found in source.execute(named)
    ]


def _plain(value: object) -> str:
    """What JSON does not know, in one spelling: UTC times, and bytes by length and digest."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"{len(value)} {hashlib.sha256(value).hexdigest()}"
    raise TypeError(f"a column of type {type(value).__name__} cannot be compared")


def _continue_numbers(
    source: OpenTransaction, target: OpenTransaction, table: Table, column: Column[int]
) -> None:
    """The next number at the target is the one that would have been next at the source."""
    highest = source.execute(select(func.max(column))).scalar_one() or 0
    last = max(highest, _last_number(source, table, column))
    names = {"table": table.name, "column": column.name, "last": last}
    if target.database.dialect == "postgresql":
        if last:  # a sequence that has given nothing yet stays as it is
            sequence = "pg_get_serial_sequence(:table, :column)"
            target.execute(text(f"SELECT setval({sequence}, :last)"), names)
    elif table.dialect_options["sqlite"]["autoincrement"]:
        target.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), names)
        target.execute(text("INSERT INTO sqlite_sequence VALUES (:table, :last)"), names)


def _last_number(source: OpenTransaction, table: Table, column: Column[int]) -> int:
    """The highest number ever given, as far as the database remembers it; 0 if it does not."""
    if source.database.dialect == "postgresql":
        query = (
            "SELECT last_value FROM pg_sequences WHERE format('%I.%I', schemaname, sequencename)"
            " = pg_get_serial_sequence(:table, :column)"
        )
    else:
        query = "SELECT seq FROM sqlite_sequence WHERE name = :table"
    names = {"table": table.name, "column": column.name}
    return source.execute(text(query), names).scalar_one_or_none() or 0
