"""What owners have used: charged when an attempt ends, and read with what runs now added.

Usage is stored decayed up to the time it was last written (`scheduling.HALF_LIFE_SECONDS`).
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select

from versemill.jobs.execution.scheduling import Limits, Owner, RunningJob, decayed, owner_now
from versemill.jobs.states import Role, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import (
    Attempt,
    Job,
    LastStart,
    StoredCheckpoint,
    Usage,
    User,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from versemill.jobs.states import Priority
    from versemill.jobs.storage.unit_of_work import UnitOfWork


def owners(session: Session, kind: str, now: datetime) -> dict[int, Owner]:
    """Everybody, as the policy sees them on devices of one kind.

    Args:
        session: a transaction.
        kind: `cpu` or `gpu`.
        now: the database's time.
    """
    running: dict[int, list[RunningJob]] = defaultdict(list)
    for row in session.execute(_running_query()):
        seconds = (now - row.started_at).total_seconds()
        running[row.owner_id].append(
            RunningJob(kind=row.device_kind, share=row.share, seconds=seconds)
        )
    started: dict[int, dict[Priority, float]] = defaultdict(dict)
    for owner_id, priority, at in session.execute(_last_starts_query()):
        started[owner_id][priority] = at.timestamp()
    found = {}
    for row in session.execute(_users_query(), {"kind": kind}):
        elapsed = (now - row.as_of).total_seconds() if row.as_of else 0.0
        found[row.id] = owner_now(
            decayed(row.seconds or 0.0, elapsed),
            running[row.id],
            kind=kind,
            started=started[row.id],
            limits=Limits(
                running=row.running_limit,
                queued=row.queued_limit,
                gpus=row.gpu_limit,
                urgent=None if row.role is Role.ADMIN else row.urgent_limit,
            ),
            disabled=row.disabled,
        )
    return found


def start(
    uow: UnitOfWork, owner_id: int, priority: Priority, kind: str, *, raise_by: float
) -> None:
    """Records that a job of this owner starts; raises their usage by so many seconds."""
    at = uow.scalar(select(db_now()))
    uow.put(
        LastStart,
        [{"owner_id": owner_id, "priority": priority, "at": at}],
        key=("owner_id", "priority"),
    )
    if raise_by > 0:
        _add(uow, owner_id, kind, raise_by)


def charge(uow: UnitOfWork, job_id: int, number: int, *, lost_to_others: bool) -> float:
    """Charges an attempt that ends now to its owner.

    Args:
        uow: the transaction in which it ends.
        job_id: its job.
        number: its number.
        lost_to_others: whether it ends through no fault of its own (a worker was lost, or an
            urgent job took its place): what it has computed since its last checkpoint, and will
            have to compute again, is then not charged.

    Returns:
        Seconds of device time that are not charged.
    """
    attempt = {"job": job_id, "number": number}
    row = uow.session.execute(_attempt_query(), attempt).one()
    owner_id, share, kind, started_at, now = row
    seconds = max(0.0, (now - started_at).total_seconds())
    given_back = 0.0
    if lost_to_others:
        kept_at = uow.scalar(
            select(func.max(StoredCheckpoint.created_at)).where(
                StoredCheckpoint.job_id == job_id,
                StoredCheckpoint.attempt == number,
                StoredCheckpoint.complete,
            )
        )
        since = max(kept_at or started_at, started_at)
        given_back = min(seconds, max(0.0, (now - since).total_seconds()))
    _add(uow, owner_id, kind, share * (seconds - given_back))
    return given_back


def _add(uow: UnitOfWork, owner_id: int, kind: str, seconds: float) -> None:
    found = uow.session.execute(_usage_query(), {"owner": owner_id, "kind": kind}).first()
    if found is None:
        now = uow.scalar(select(db_now()))
    else:
        stored, as_of, now = found
        seconds += decayed(stored, (now - as_of).total_seconds())
    row = {"owner_id": owner_id, "kind": kind, "seconds": seconds, "as_of": now}
    uow.put(Usage, [row], key=("owner_id", "kind"))


# Building these statements costs more than running them.


@cache
def _attempt_query() -> Any:
    return (
        select(Job.owner_id, Attempt.share, Attempt.device_kind, Attempt.started_at, db_now())
        .join(Job, Job.id == Attempt.job_id)
        .where(Attempt.job_id == bindparam("job"), Attempt.number == bindparam("number"))
    )


@cache
def _usage_query() -> Any:
    mine = (Usage.owner_id == bindparam("owner"), Usage.kind == bindparam("kind"))
    return select(Usage.seconds, Usage.as_of, db_now()).where(*mine).with_for_update()


@cache
def _last_starts_query() -> Any:
    return select(LastStart.owner_id, LastStart.priority, LastStart.at)


@cache
def _users_query() -> Any:
    limits = (User.running_limit, User.queued_limit, User.gpu_limit, User.urgent_limit)
    return select(User.id, User.role, User.disabled, *limits, Usage.seconds, Usage.as_of).outerjoin(
        Usage, (Usage.owner_id == User.id) & (Usage.kind == bindparam("kind"))
    )


@cache
def _running_query() -> Any:
    return (
        select(Job.owner_id, Attempt.device_kind, Attempt.share, Attempt.started_at)
        .join(Attempt, (Attempt.job_id == Job.id) & (Attempt.number == Job.attempt))
        .where(Job.state == State.RUNNING)
    )
