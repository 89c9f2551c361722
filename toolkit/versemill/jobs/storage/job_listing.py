"""Jobs at a glance: the one query behind every job listing, and a quick way to run it.

`versemill jobs` is typed all day. Importing SQLAlchemy costs more than twice what everything else
in that command does, so the query is plain SQL: `listings` runs it through SQLAlchemy on either
database, `jobs` here through the standard library on SQLite.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from versemill.jobs.states import Priority, Request, State
from versemill.jobs.storage.plain_sql import NOW, SQLiteSQL, json_value, utc
from versemill.jobs.storage.revisions import HEAD
from versemill.jobs.views import ArrayView, JobView
from versemill.normalisation import spellings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from versemill.jobs.storage.plain_sql import PlainSQL

Outlook: TypeAlias = "Callable[[PlainSQL, list[JobView]], list[JobView]]"
"""Adds to jobs how things stand for those that wait."""

T = TypeVar("T")

_SQLITE = "sqlite:///"
_SELECT = """
SELECT jobs.id, jobs.name, users.name AS owner, jobs.state, jobs.priority, jobs.request,
       jobs.recipe, jobs.corpus, jobs.cell, jobs.attempt, jobs.step, jobs.epoch, jobs.epochs,
       jobs.train_perplexity, jobs.valid_perplexity, jobs.characters_per_second,
       jobs.seconds_left, jobs.error, jobs.created_at, jobs.finished_at,
       attempts.worker_name AS worker, attempts.device_name AS device,
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
    ids: Sequence[int] | None = None,
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
        ids: of jobs.
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
        "jobs.id": ids,
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
    return _SELECT.format(now=NOW[dialect]) + where + end, values


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
    created_at = min(filter(None, (utc(row["created_at"]) for row in rows)))
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
        columns[column] = utc(columns[column])
    columns["array_values"] = json_value(columns["array_values"])
    return JobView(**columns)


def _as_they_are(_sql: PlainSQL, jobs: list[JobView]) -> list[JobView]:
    return jobs


def jobs(
    database_url: str,
    *,
    limit: int | None = None,
    states: Sequence[State] | None = None,
    owner: str | None = None,
    array: str | None = None,
    best_first: bool = False,
    outlook: Outlook = _as_they_are,
) -> list[JobView] | None:
    """The listing by the quick way.

    Args:
        database_url: where.
        limit: at most so many.
        states: in any of these; None for all.
        owner: of this owner; None for all.
        array: members of this array.
        best_first: by the validation perplexity that was reported last.
        outlook: adds to waiting jobs how things stand for them, in the same transaction.

    Returns:
        The jobs; None where the quick way does not apply: another database than an existing
        SQLite file with our schema, or any trouble, which the ordinary way then explains.
    """
    wanted = conditions(owner=owner, array=array)
    wanted |= {"limit": limit, "states": states, "best_first": best_first}
    return _quickly(database_url, lambda sql: outlook(sql, _jobs(sql, wanted)))


def folded(
    database_url: str,
    *,
    limit: int | None = None,
    states: Sequence[State] | None = None,
    owner: str | None = None,
    outlook: Outlook = _as_they_are,
) -> list[JobView | ArrayView] | None:
    """The listing with a line for each array, by the quick way; arguments, None as for `jobs`."""
    wanted = conditions(owner=owner) | {"limit": limit, "states": states, "folded": True}
    return _quickly(
        database_url, lambda sql: with_arrays(sql, outlook(sql, _jobs(sql, wanted)), states)
    )


def conditions(*, owner: str | None = None, array: str | None = None) -> dict[str, Any]:
    """Conditions as `query` takes them: a name means all its spellings."""
    owners = None if owner is None else spellings(owner)
    arrays = None if array is None else spellings(array)
    return {"owners": owners, "arrays": arrays}


def with_arrays(
    sql: PlainSQL, found: Iterable[JobView], states: Iterable[State] | None = None
) -> list[JobView | ArrayView]:
    """A listing in which an array stands where one of its members was, counted in `states`."""
    lines: list[JobView | ArrayView] = list(found)
    names = sorted({job.array for job in lines if isinstance(job, JobView) and job.array})
    if not names:
        return lines
    arrays = arrays_view(sql.rows(*arrays_query(names, states)))
    return [
        arrays.get(job.array, job) if isinstance(job, JobView) and job.array else job
        for job in lines
    ]


def _jobs(sql: PlainSQL, wanted: Mapping[str, Any]) -> list[JobView]:
    return [view(row) for row in sql.rows(*query(sql.dialect, **wanted))]


def _quickly(database_url: str, read: Callable[[PlainSQL], list[T]]) -> list[T] | None:
    """What `read` reads in one transaction; None where the quick way does not apply."""
    path = Path(database_url.removeprefix(_SQLITE))
    if not database_url.startswith(_SQLITE) or "?" in database_url or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA query_only = ON")
            if connection.execute("SELECT version_num FROM alembic_version").fetchall() != [
                (HEAD,)
            ]:
                return None
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            return read(SQLiteSQL(connection))
    except sqlite3.Error:
        return None
