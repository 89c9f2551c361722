"""The heads of the queue: of all jobs that wait, the first of each kind (`scheduling`).

The queries read the index of waiting jobs from one owner, priority and set of requirements to the
next, so that their cost grows with the number of those and not with the number of jobs.
"""

from __future__ import annotations

import contextlib
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, func, or_, select

from versemill.jobs.execution.scheduling import Head
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import ColumnElement, ScalarSelect, Select
    from sqlalchemy.orm import Session

_JOBS = Job.__table__
_KEY = ("owner_id", "priority", "requirements")


def queue_heads(
    session: Session,
    *,
    requirements: Collection[str],
    machines: Collection[str] | None = None,
    only: int | None = None,
) -> list[Head]:
    """The heads that may start now, in no particular order.

    Args:
        session: a transaction.
        requirements: digests of those that can be met.
        machines: kinds of machine that claim; a job with a checkpoint made on another kind is left
            out, unless it may go on inexactly. None for any.
        only: this job or none.
    """
    given = _given(machines)
    if only is not None:
        rows = session.execute(_one(frozenset(given)), given | {"only": only}).all()
        return [_head(row) for row in rows if row.requirements in requirements]
    heads = []
    for row in session.execute(_firsts(frozenset(given)), given):
        if row.requirements not in requirements:
            continue
        # Seldom: the first waits for a while after a failure, or for a machine of another kind.
        later = None if row.ready else _later_one(session, row, given)
        found = row if row.ready else later
        if found is not None:
            heads.append(_head(found))
    return heads


def any_waits(
    session: Session, *, requirements: Collection[str], machines: Collection[str] | None = None
) -> bool:
    """Whether there is any head; quicker than finding them all."""
    given = _given(machines)
    rows = session.execute(_firsts(frozenset(given)), given)
    with contextlib.closing(rows):
        return any(
            row.requirements in requirements
            and (row.ready or _later_one(session, row, given) is not None)
            for row in rows
        )


def _given(machines: Collection[str] | None) -> dict[str, Any]:
    return {} if machines is None else {"machines": list(machines)}


def _head(row: Any) -> Head:
    return Head(
        job_id=row.id,
        owner_id=row.owner_id,
        priority=row.priority,
        queued_at=row.queued_at.timestamp(),
        requirements=row.requirements,
        keeps_place_on=row.place_worker_id,
    )


def _later_one(session: Session, kind: Any, given: Mapping[str, Any]) -> Any:
    """The first of a kind that may start now, where the very first may not; None if none may."""
    values = {key: getattr(kind, key) for key in _KEY}
    return session.execute(_first_ready(frozenset(given)), {**given, **values}).first()


def _columns(jobs: Any) -> list[Any]:
    names = ("id", *_KEY, "queued_at", "place_worker_id")
    return [jobs.c[name] for name in names]


def _ready(jobs: Any, given: Collection[str]) -> ColumnElement[bool]:
    conditions = [jobs.c.queued_at <= db_now(), jobs.c.available_at <= db_now()]
    if "machines" in given:
        alike = jobs.c.machine.in_(bindparam("machines", expanding=True))
        conditions.append(or_(jobs.c.machine.is_(None), jobs.c.inexact, alike))
    return and_(*conditions)


def _waiting(jobs: Any) -> ColumnElement[bool]:
    # Requirements are always recorded; a row without them, edited by hand, must hide no other.
    known = jobs.c.requirements.is_not(None)
    return and_(jobs.c.state == State.QUEUED, jobs.c.held.is_(False), known)


@cache
def _one(given: frozenset[str]) -> Select[Any]:
    conditions = (_JOBS.c.id == bindparam("only"), _waiting(_JOBS), _ready(_JOBS, given))
    return select(*_columns(_JOBS)).where(*conditions)


@cache
def _first_ready(given: frozenset[str]) -> Select[Any]:
    kind = [_JOBS.c[key] == bindparam(key) for key in _KEY]
    query = select(*_columns(_JOBS)).where(_waiting(_JOBS), *kind, _ready(_JOBS, given))
    return query.order_by(_JOBS.c.queued_at, _JOBS.c.id).limit(1)


@cache
def _firsts(given: frozenset[str]) -> Select[Any]:
    """The first job of each kind: one step of the index for each owner, priority, requirements.

    SQL has no such scan of its own ("loose index scan"); a recursive query is the usual way.
    """
    first = _in_order(_JOBS.alias("very_first"), ()).limit(1).scalar_subquery()
    firsts = select(first.label("id")).cte("firsts", recursive=True)
    this = _JOBS.alias("this")
    # Three questions, not one comparison of rows: for that SQLite uses the first column only.
    following = func.coalesce(*(_next(this, alike) for alike in (2, 1, 0)))
    step = select(following).join_from(firsts, this, this.c.id == firsts.c.id)
    firsts = firsts.union_all(step)
    ready = _ready(_JOBS, given).label("ready")
    return select(*_columns(_JOBS), ready).join_from(firsts, _JOBS, _JOBS.c.id == firsts.c.id)


def _next(this: Any, alike: int) -> ScalarSelect[Any]:
    """The first job of the next kind that has so many columns of the key in common with `this`."""
    later = _JOBS.alias(f"later_{alike}")
    same = [later.c[key] == this.c[key] for key in _KEY[:alike]]
    beyond = later.c[_KEY[alike]] > this.c[_KEY[alike]]
    return _in_order(later, (*same, beyond)).limit(1).correlate(this).scalar_subquery()


def _in_order(jobs: Any, conditions: tuple[Any, ...]) -> Select[Any]:
    order = [jobs.c[key] for key in (*_KEY, "queued_at", "id")]
    return select(jobs.c.id).where(_waiting(jobs), *conditions).order_by(*order)
