"""Jobs at a glance: the one query behind every job listing, and a quick way to run it.

`versemill jobs` is typed all day. Importing SQLAlchemy costs more than twice what everything else
in that command does, so the query is plain SQL: `listings` runs it through SQLAlchemy on either
database, `jobs` here through the standard library on SQLite.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versemill.jobs.states import Priority, Request, State
from versemill.jobs.storage.plain_sql import NOW, SQLiteSQL, utc
from versemill.jobs.storage.revisions import HEAD
from versemill.jobs.views import JobView
from versemill.normalisation import spellings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from versemill.jobs.storage.plain_sql import PlainSQL

_SQLITE = "sqlite:///"
_SELECT = """
SELECT jobs.id, jobs.name, users.name AS owner, jobs.state, jobs.priority, jobs.request,
       jobs.recipe, jobs.corpus, jobs.cell, jobs.attempt, jobs.step, jobs.epoch, jobs.epochs,
       jobs.train_perplexity, jobs.valid_perplexity, jobs.characters_per_second,
       jobs.seconds_left, jobs.error, jobs.created_at, jobs.finished_at,
       attempts.worker_name AS worker, attempts.device_name AS device,
       jobs.lease_until < {now} AS expired
FROM jobs
JOIN users ON users.id = jobs.owner_id
LEFT JOIN attempts ON attempts.job_id = jobs.id AND attempts.number = jobs.attempt
                  AND jobs.state = 'running'
"""
_SHOWN = {Request.YIELD: "yielding", Request.PAUSE: "pausing", Request.CANCEL: "cancelling"}


def query(
    dialect: str,
    *,
    ids: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    states: Iterable[State] | None = None,
    owners: Sequence[str] | None = None,
    limit: int | None = None,
) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters: jobs that meet every condition given, newest first."""
    values: dict[str, Any] = {}
    conditions: list[str] = []
    for column, among in (("jobs.id", ids), ("jobs.name", names), ("users.name", owners)):
        if among is not None:
            keys = {f"{column.replace('.', '_')}_{i}": value for i, value in enumerate(among)}
            conditions.append(_among(column, list(keys)))
            values |= keys
    if states is not None:
        wanted = {f"state_{i}": state.value for i, state in enumerate(states)}
        conditions.append(f"jobs.state IN ({', '.join(f':{key}' for key in wanted)})")
        values |= wanted
    where = f"WHERE {' AND '.join(conditions)}\n" if conditions else ""
    end = "ORDER BY jobs.id DESC"
    if limit is not None:
        end += " LIMIT :limit"
        values["limit"] = limit
    return _SELECT.format(now=NOW[dialect]) + where + end, values


def _among(column: str, keys: Sequence[str]) -> str:
    if len(keys) == 1:
        return f"{column} = :{keys[0]}"
    return f"{column} IN ({', '.join(f':{key}' for key in keys)})"


def view(row: Mapping[str, Any]) -> JobView:
    """A row of the query as people see it."""
    columns = dict(row)
    expired = columns.pop("expired")
    request, state = Request(columns["request"]), State(columns["state"])
    shown = "interrupted" if expired else _SHOWN.get(request, state.value)
    columns["priority"] = Priority(columns["priority"])
    columns |= {"request": request, "state": state, "state_shown": shown}
    for column in ("created_at", "finished_at"):
        columns[column] = utc(columns[column])
    return JobView(**columns)


def _as_they_are(_sql: PlainSQL, jobs: list[JobView]) -> list[JobView]:
    return jobs


def jobs(
    database_url: str,
    *,
    limit: int | None = None,
    states: Iterable[State] | None = None,
    owner: str | None = None,
    outlook: Callable[[PlainSQL, list[JobView]], list[JobView]] = _as_they_are,
) -> list[JobView] | None:
    """The listing by the quick way.

    Args:
        database_url: where.
        limit: at most so many.
        states: in any of these; None for all.
        owner: of this owner; None for all.
        outlook: adds to waiting jobs how things stand for them, in the same transaction.

    Returns:
        The jobs; None where the quick way does not apply: another database than an existing
        SQLite file with our schema, or any trouble, which the ordinary way then explains.
    """
    path = Path(database_url.removeprefix(_SQLITE))
    if not database_url.startswith(_SQLITE) or "?" in database_url or not path.is_file():
        return None
    owners = None if owner is None else spellings(owner)
    sql, values = query("sqlite", limit=limit, states=states, owners=owners)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            if connection.execute("SELECT version_num FROM alembic_version").fetchall() != [
                (HEAD,)
            ]:
                return None
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            found = [view(row) for row in connection.execute(sql, values)]
            return outlook(SQLiteSQL(connection), found)
    except sqlite3.Error:
        return None
