"""How a job moves: one conditional UPDATE and one event, here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, delete, exists, insert, select, update

from versemill.jobs.execution.deliveries import record_deliveries
from versemill.jobs.execution.fair_share import charge
from versemill.jobs.states import OUTCOMES, FailureClass, Outcome, Request, State, check_transition
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Dependency, Event, Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from versemill.jobs.storage.unit_of_work import UnitOfWork


def move(
    uow: UnitOfWork,
    job_id: int,
    start: State,
    end: State,
    *,
    actor: str,
    message: str,
    only_if: tuple[ColumnElement[bool], ...] = (),
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Moves a job from `start` to `end`, if it is still there and `only_if` holds.

    Any request is answered by the move and therefore cleared.

    Args:
        uow: the transaction to do it in.
        job_id: the job.
        start: the state it must be in.
        end: the state it gets.
        actor: who moves it.
        message: why, for the event.
        only_if: further conditions, such as holding the lease.
        values: further columns to set.

    Returns:
        Whether it moved; if not, nothing was written.

    Raises:
        JobStateError: `TRANSITIONS` has no such move.
    """
    check_transition(start, end)
    changed: dict[str, Any] = {"state": end, "request": Request.NONE}
    if start is State.RUNNING:
        changed |= {"lease_until": None, "worker_id": None, "seconds_left": None}
        changed |= {"preempted_for": None, "reservation_id": None}
    if end.ended:
        changed["finished_at"] = db_now()
    elif start.ended:
        changed |= {"finished_at": None, "error": None, "result": None}
    changed |= values or {}
    statement = update(Job).where(Job.id == job_id, Job.state == start, *only_if).values(changed)
    if uow.execute(statement.returning(Job.id)).first() is None:
        return False
    note(uow, job_id, actor=actor, message=message, start=start, end=end)
    if end.ended:
        release_waiting(uow, job_id, end)
        _tell_of_end(uow, job_id, end, message)
    return True


def note(
    uow: UnitOfWork,
    job_id: int,
    *,
    actor: str,
    message: str,
    start: State | None = None,
    end: State | None = None,
) -> None:
    """Appends an event."""
    row = {"job_id": job_id, "actor": actor, "message": message}
    uow.execute(insert(Event.__table__), {**row, "from_state": start, "to_state": end})


def release_waiting(uow: UnitOfWork, job_id: int, end: State) -> None:
    """Lets jobs go that waited for this one to end so (`Dependency`), unless others hold them."""
    met = delete(Dependency).where(Dependency.after_id == job_id)
    if end is not State.SUCCEEDED:
        met = met.where(Dependency.condition == "any")
    for waiting in uow.execute(met.returning(Dependency.job_id)).scalars().all():
        free = update(Job).where(
            Job.id == waiting, Job.held, ~exists().where(Dependency.job_id == waiting)
        )
        # Its turn is counted from now, or from the time it is to begin at.
        later = case((Job.begin_at > db_now(), Job.begin_at), else_=db_now())
        freed = free.values(held=False, queued_at=later, available_at=later)
        if uow.execute(freed.returning(Job.id)).first() is not None:
            note(
                uow,
                waiting,
                actor="queue",
                message=f"job {job_id} has ended ({end}); waits its turn now",
            )


def _tell_of_end(uow: UnitOfWork, job_id: int, end: State, message: str) -> None:
    """Has the owner told, and the owners of jobs that go on waiting for another end of it."""
    what = "was cancelled" if end is State.CANCELLED else end.value
    kinds = ("failed", "ended") if end is State.FAILED else ("ended",)
    record_deliveries(uow, job_id, kinds, what, message)
    if end is not State.SUCCEEDED:
        waiting = select(Dependency.job_id).where(Dependency.after_id == job_id)
        for held in uow.session.scalars(waiting).all():
            why = f"job {job_id}, which it waits for, {what}"
            record_deliveries(uow, held, ("waiting",), "waits", why)


def close_attempt(
    uow: UnitOfWork,
    job_id: int,
    number: int,
    *,
    end: State,
    failure: FailureClass | None = None,
    outcome: Outcome | None = None,
    exit: str | None = None,  # noqa: A002 - the column's name
    lost_to_others: bool = False,
) -> float:
    """Writes how an attempt ended, and charges its device time to the owner (`fair_share.charge`).

    Returns:
        Seconds of device time that are not charged.
    """
    if outcome is None:
        outcome = OUTCOMES[end] if failure is None else Outcome.FAILED
    lost = lost_to_others or failure is FailureClass.INFRASTRUCTURE
    given_back = charge(uow, job_id, number, lost_to_others=lost)
    uow.execute(
        update(Attempt)
        .where(Attempt.job_id == job_id, Attempt.number == number)
        .values(
            ended_at=db_now(),
            outcome=outcome,
            failure=failure,
            exit=exit,
            given_back=given_back,
        )
    )
    return given_back
