"""Places kept for an owner or a label over a period: who may start there, and who has to leave.

While a reservation lasts, only jobs of its owner, or that ask for its label, start on its target.
Others that run there when it begins are asked to leave, as for an urgent job: at a checkpoint,
keeping their place in the queue. One that cannot make a durable checkpoint within 30 s is then
stopped as by a request to yield, since the place is not its own any more.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from versemill.jobs.execution.reserved_places import Reserved, closed_by
from versemill.jobs.execution.transitions import note
from versemill.jobs.states import Request, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import device_needs
from versemill.jobs.storage.tables import Attempt, Job, Reservation, User

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork


def active(session: Session) -> list[Reserved]:
    """The reservations that hold now."""
    return [
        Reserved(
            id=row.id,
            target=row.target,
            owner_id=row.owner_id,
            label=row.label,
            ends_at=row.ends_at,
            whose=row.name if row.label is None else f"label {row.label}",
        )
        for row in session.execute(_active_query())
    ]


@cache
def _active_query() -> Any:
    """Building it costs more than running it."""
    columns = (Reservation.id, Reservation.target, Reservation.owner_id, Reservation.label)
    return (
        select(*columns, Reservation.ends_at, User.name)
        .outerjoin(User, User.id == Reservation.owner_id)
        .where(Reservation.starts_at <= db_now(), Reservation.ends_at > db_now())
        .order_by(Reservation.id)
    )


def enforce_reservations(store: Store) -> list[int]:
    """Asks jobs to leave that run where a reservation holds; lets those stay whose has ended.

    Returns:
        The jobs that are asked.
    """
    asked = select(Job.id).where(Job.state == State.RUNNING, Job.reservation_id.is_not(None))
    with store.reading() as session:  # nearly always there is nothing to do
        if not active(session) and session.scalar(asked.limit(1)) is None:
            return []
    with store.unit_of_work() as uow:
        uow.lock("claims")
        reserved = active(uow.session)
        _let_stay(uow, {each.id for each in reserved})
        leaving = _ask(uow, reserved)
        uow.commit()
    return leaving


def _let_stay(uow: UnitOfWork, active_ids: set[int]) -> None:
    spared = update(Job).where(
        Job.state == State.RUNNING,
        Job.reservation_id.is_not(None),
        Job.reservation_id.not_in(active_ids),
    )
    for job_id in uow.execute(spared.values(reservation_id=None).returning(Job.id)).scalars().all():
        note(uow, job_id, actor="queue", message="keeps its place: the reservation is over")


def _ask(uow: UnitOfWork, reserved: Sequence[Reserved]) -> list[int]:
    leaving = []
    for row in uow.session.execute(_running()).all():
        each = closed_by(
            reserved,
            worker_name=row.worker_name,
            device_id=row.device_id,
            owner_id=row.owner_id,
            labels=device_needs(uow.session, row.requirements).labels,
        )
        if each is None:
            continue
        changed = update(Job).where(Job.id == row.id, Job.state == State.RUNNING)
        uow.execute(changed.values(reservation_id=each.id))
        until = f"{each.ends_at:%Y-%m-%d %H:%M} UTC"
        message = f"asked to leave {each.target}, which is reserved for {each.whose} until {until}"
        note(uow, row.id, actor="queue", message=message)
        leaving.append(row.id)
    return leaving


def _running() -> Any:
    """Jobs that run and of which nothing is wanted yet."""
    return (
        select(Job.id, Job.owner_id, Job.requirements, Attempt.worker_name, Attempt.device_id)
        .join(Attempt, (Attempt.job_id == Job.id) & (Attempt.number == Job.attempt))
        .where(
            Job.state == State.RUNNING,
            Job.request == Request.NONE,
            Job.preempted_for.is_(None),
            Job.reservation_id.is_(None),
            Job.lease_until >= db_now(),
        )
    )
