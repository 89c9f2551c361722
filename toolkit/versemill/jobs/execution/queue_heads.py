"""The heads of the queue: of all jobs that wait, the first of each kind (`scheduling`).

The queries read the index of waiting jobs from one owner, priority and set of requirements to the
next, so that their cost grows with the number of those and not with the number of jobs.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, or_, select, tuple_

from versemill.jobs.execution.scheduling import Head
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

_JOBS = Job.__table__
_KEY = ("owner_id", "priority", "requirements")


def queue_heads(
    session: Session,
    *,
    requirements: Collection[str],
    machines: Collection[str] | None = None,
    only: int | None = None,
    limit: int | None = None,
) -> list[Head]:
    """The heads that may start now, in no particular order.

    Args:
        session: a transaction.
        requirements: digests of those that can be met.
        machines: kinds of machine that claim; a job with a checkpoint made on another kind is left
            out, unless it may go on inexactly. None for any.
        only: this job or none.
        limit: at most so many.
    """
    given: dict[str, Any] = {"requirements": list(requirements)}
    if machines is not None:
        given["machines"] = list(machines)
    if only is not None:
        given["only"] = only
    query = _query(frozenset(given))
    rows = session.execute(query if limit is None else query.limit(limit), given)
    return [
        Head(
            job_id=row.id,
            owner_id=row.owner_id,
            priority=row.priority,
            queued_at=row.queued_at.timestamp(),
            requirements=row.requirements,
            keeps_place_on=row.place_worker_id,
        )
        for row in rows
    ]


@cache
def _query(given: frozenset[str]) -> Select[Any]:
    """Building it costs more than running it."""
    columns = (
        _JOBS.c.id,
        _JOBS.c.owner_id,
        _JOBS.c.priority,
        _JOBS.c.queued_at,
        _JOBS.c.requirements,
        _JOBS.c.place_worker_id,
    )
    if "only" in given:
        only = _waits(_JOBS, given).where(
            _JOBS.c.id == bindparam("only"),
            _JOBS.c.requirements.in_(bindparam("requirements", expanding=True)),
        )
        return select(*columns).where(_JOBS.c.id.in_(only))
    kinds = _kinds()
    waits = _JOBS.alias("waits")
    first = (
        _waits(waits, given)
        .where(*(waits.c[key] == kinds.c[key] for key in _KEY))
        .order_by(waits.c.queued_at, waits.c.id)
        .limit(1)
        .correlate(kinds)
        .scalar_subquery()
    )
    firsts = select(first.label("id")).where(
        kinds.c.requirements.in_(bindparam("requirements", expanding=True))
    )
    return select(*columns).where(_JOBS.c.id.in_(firsts))


def _waits(jobs: Any, given: frozenset[str]) -> Select[Any]:
    query = select(jobs.c.id).where(
        jobs.c.state == State.QUEUED,
        jobs.c.held.is_(False),
        jobs.c.queued_at <= db_now(),
        jobs.c.available_at <= db_now(),
    )
    if "machines" in given:
        alike = jobs.c.machine.in_(bindparam("machines", expanding=True))
        query = query.where(or_(jobs.c.machine.is_(None), jobs.c.inexact, alike))
    return query


def _kinds() -> Any:
    """Every owner, priority and set of requirements of which jobs wait: one step of the index each.

    SQL has no such scan of its own ("loose index scan"); this is the usual way to write it.
    """
    first = _next_kind(_JOBS.alias("first_kind"), ()).subquery("first_kind_only")
    kinds = select(*(first.c[key] for key in _KEY)).cte("kinds", recursive=True)
    later = _JOBS.alias("later")
    following = (
        _next_kind(
            later, (tuple_(*(later.c[k] for k in _KEY)) > tuple_(*(kinds.c[k] for k in _KEY)),)
        )
        .with_only_columns(later.c.id)
        .correlate(kinds)
        .scalar_subquery()
    )
    found = _JOBS.alias("found")
    step = select(*(found.c[key] for key in _KEY)).join_from(kinds, found, found.c.id == following)
    return kinds.union_all(step)


def _next_kind(jobs: Any, conditions: tuple[Any, ...]) -> Select[Any]:
    key = [jobs.c[name] for name in _KEY]
    query = select(*key).where(jobs.c.state == State.QUEUED, jobs.c.held.is_(False), *conditions)
    return query.order_by(*key).limit(1)
