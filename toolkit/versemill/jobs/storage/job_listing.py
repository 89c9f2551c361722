"""Jobs at a glance: the one query behind every job listing, and a quick way to run it.

`versemill jobs` is typed all day. Importing SQLAlchemy costs more than twice what everything else
in that command does, so the query is plain SQL: `listings` runs it through SQLAlchemy on either
database, `jobs` here through the standard library on SQLite.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versemill.jobs.states import Priority, Request, State
from versemill.jobs.storage.revisions import HEAD
from versemill.jobs.views import ArrayView, JobView
from versemill.normalisation import spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SQLITE = "sqlite:///"
_NOW = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",  # the text in which times are stored
    "postgresql": "clock_timestamp()",
}
_SELECT = """
SELECT jobs.id, jobs.name, users.name AS owner, jobs.state, jobs.priority, jobs.request,
       jobs.recipe, jobs.corpus, jobs.cell, jobs.attempt, jobs.step, jobs.epoch, jobs.epochs,
       jobs.train_perplexity, jobs.valid_perplexity, jobs.characters_per_second,
       jobs.seconds_left, jobs.error, jobs.created_at, jobs.finished_at,
       attempts.worker_name AS worker,
       jobs.array_name AS array, jobs.array_values, jobs.begin_at, jobs.time_limit,
       jobs.lease_until < {now} AS expired
FROM jobs
JOIN users ON users.id = jobs.owner_id
LEFT JOIN attempts ON attempts.job_id = jobs.id AND attempts.number = jobs.attempt
                  AND jobs.state = 'running'
"""
_BEST_FIRST = "jobs.valid_perplexity IS NULL, jobs.valid_perplexity, "
_NONE_NEWER = """NOT EXISTS (
    SELECT 1 FROM jobs AS newer
    WHERE newer.array_name = jobs.array_name AND newer.id > jobs.id{alike}
)"""
_ARRAYS = """
SELECT array_name, state, count(*) AS jobs, min(id) AS first_id, max(id) AS last_id,
       min(valid_perplexity) AS best, min(corpus) AS first_corpus, max(corpus) AS last_corpus,
       min(cell) AS first_cell, max(cell) AS last_cell, min(created_at) AS created_at
FROM jobs WHERE {where} GROUP BY array_name, state
"""
_SHOWN = {Request.YIELD: "yielding", Request.PAUSE: "pausing", Request.CANCEL: "cancelling"}


def query(
    dialect: str,
    *,
    job_id: int | None = None,
    names: Sequence[str] | None = None,
    states: Iterable[State] | None = None,
    owners: Sequence[str] | None = None,
    arrays: Sequence[str] | None = None,
    folded: bool = False,
    best_first: bool = False,
    limit: int | None = None,
) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters: jobs that meet every condition given, newest first.

    Args:
        dialect: of the database.
        job_id: this job.
        names: of jobs.
        states: any of them.
        owners: names of users.
        arrays: members of any of them.
        folded: of each array only the newest of those that meet the other conditions.
        best_first: by the validation perplexity that was reported last instead.
        limit: at most so many.
    """
    values: dict[str, Any] = {}
    conditions: list[str] = []
    among: dict[str, Sequence[object] | None] = {
        "jobs.id": None if job_id is None else (job_id,),
        "jobs.name": names,
        "users.name": owners,
        "jobs.array_name": arrays,
        "jobs.state": None if states is None else [state.value for state in states],
    }
    for column, allowed in among.items():
        if allowed is not None:
            keys = {f"{column.replace('.', '_')}_{i}": value for i, value in enumerate(allowed)}
            conditions.append(_among(column, list(keys)))
            values |= keys
    if folded:  # all members of an array have one owner
        alike = [part for part in conditions if part.startswith("jobs.state ")]
        alike = [part.replace("jobs.state ", "newer.state ") for part in alike]
        conditions.append(_NONE_NEWER.format(alike="".join(f" AND {part}" for part in alike)))
    where = f"WHERE {' AND '.join(conditions)}\n" if conditions else ""
    end = f"ORDER BY {_BEST_FIRST if best_first else ''}jobs.id DESC"
    if limit is not None:
        end += " LIMIT :limit"
        values["limit"] = limit
    return _SELECT.format(now=_NOW[dialect]) + where + end, values


def arrays_query(
    names: Sequence[str], states: Iterable[State] | None = None
) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters: members of these arrays, one row for each state."""
    values: dict[str, Any] = {f"name_{i}": name for i, name in enumerate(names)}
    where = _among("array_name", list(values))
    if states is not None:
        wanted = {f"state_{i}": state.value for i, state in enumerate(states)}
        where = f"{where} AND {_among('state', list(wanted))}"
        values |= wanted
    return _ARRAYS.format(where=where), values


def arrays_view(rows: Iterable[Mapping[str, Any]]) -> dict[str, ArrayView]:
    """Rows of `arrays_query` as people see them, by name."""
    of_array: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        of_array.setdefault(row["array_name"], []).append(row)
    return {name: _array_view(name, states) for name, states in of_array.items()}


def _array_view(name: str, rows: Sequence[Mapping[str, Any]]) -> ArrayView:
    best = [row["best"] for row in rows if row["best"] is not None]
    created_at = min(filter(None, (_utc(row["created_at"]) for row in rows)))
    return ArrayView(
        name=name,
        first_id=min(row["first_id"] for row in rows),
        last_id=max(row["last_id"] for row in rows),
        counts={State(row["state"]): row["jobs"] for row in rows},
        corpus=_common(rows, "corpus"),
        cell=_common(rows, "cell"),
        valid_perplexity=min(best, default=None),
        created_at=created_at,
    )


def _common(rows: Sequence[Mapping[str, Any]], column: str) -> str | None:
    """The value of all members; None where they differ."""
    found = {row[f"{end}_{column}"] for row in rows for end in ("first", "last")}
    return found.pop() if len(found) == 1 else None


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
    for column in ("created_at", "finished_at", "begin_at"):
        columns[column] = _utc(columns[column])
    if isinstance(columns["array_values"], str):  # JSON is text in SQLite
        columns["array_values"] = json.loads(columns["array_values"])
    return JobView(**columns)


def jobs(
    database_url: str,
    *,
    limit: int | None = None,
    states: Iterable[State] | None = None,
    owner: str | None = None,
    array: str | None = None,
    best_first: bool = False,
) -> list[JobView] | None:
    """The listing by the quick way.

    Returns:
        The jobs; None where the quick way does not apply: another database than an existing
        SQLite file with our schema, or any trouble, which the ordinary way then explains.
    """
    wanted = conditions(limit=limit, states=states, owner=owner, array=array, best_first=best_first)
    with _opened(database_url) as connection:
        return None if connection is None else _jobs(connection, wanted)


def folded(
    database_url: str,
    *,
    limit: int | None = None,
    states: Iterable[State] | None = None,
    owner: str | None = None,
) -> list[JobView | ArrayView] | None:
    """The listing with a line for each array, by the quick way; None as for `jobs`."""
    wanted = conditions(limit=limit, states=states, owner=owner) | {"folded": True}
    with _opened(database_url) as connection:
        found = None if connection is None else _jobs(connection, wanted)
        if connection is None or found is None:
            return None
        names = array_names(found)
        if not names:
            return list(found)
        try:
            rows = connection.execute(*arrays_query(names, states)).fetchall()
        except sqlite3.Error:
            return None
    return with_arrays(found, arrays_view(dict(row) for row in rows))


def conditions(
    *, owner: str | None = None, array: str | None = None, **others: Any
) -> dict[str, Any]:
    """Conditions as `query` takes them: a name means all its spellings."""
    owners = None if owner is None else spellings(owner)
    arrays = None if array is None else spellings(array)
    return {**others, "owners": owners, "arrays": arrays}


def array_names(found: Iterable[JobView]) -> list[str]:
    """The arrays of these jobs."""
    return sorted({job.array for job in found if job.array is not None})


def with_arrays(
    found: Iterable[JobView], arrays: Mapping[str, ArrayView]
) -> list[JobView | ArrayView]:
    """A listing in which an array stands where one of its members was."""
    return [arrays.get(job.array, job) if job.array is not None else job for job in found]


@contextmanager
def _opened(database_url: str) -> Iterator[sqlite3.Connection | None]:
    """The SQLite file, read only; None where the quick way does not apply."""
    path = Path(database_url.removeprefix(_SQLITE))
    if not database_url.startswith(_SQLITE) or "?" in database_url or not path.is_file():
        yield None
        return
    try:
        connection = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error:
        yield None
        return
    with closing(connection):
        connection.row_factory = sqlite3.Row
        yield connection


def _jobs(connection: sqlite3.Connection, wanted: Mapping[str, Any]) -> list[JobView] | None:
    sql, values = query("sqlite", **wanted)
    try:
        connection.execute("PRAGMA query_only = ON")
        revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        if [tuple(row) for row in revisions] != [(HEAD,)]:
            return None
        return [view(dict(row)) for row in connection.execute(sql, values)]
    except sqlite3.Error:
        return None


def _utc(value: str | datetime | None) -> datetime | None:
    """SQLite's text or PostgreSQL's time as an aware time in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return value.astimezone(UTC)
