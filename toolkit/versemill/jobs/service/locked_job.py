"""A job's row, locked: what every change of a job begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from versemill.errors import JobStateError, UnknownNameError
from versemill.jobs.execution.transitions import move
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job

if TYPE_CHECKING:
    from versemill.jobs.states import Priority, Request, State
    from versemill.jobs.storage.unit_of_work import UnitOfWork


class LockedJob(NamedTuple):
    """A job whose row nobody else can change until the transaction has ended."""

    id: int
    name: str
    owner_id: int
    state: State
    priority: Priority
    request: Request
    attempt: int
    epoch: int
    epochs: int
    expired: bool | None

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"job {self.id} ({self.name})"


def lock_job(uow: UnitOfWork, job_id: int) -> LockedJob:
    """Locks a job's row until the transaction has ended; raises `UnknownNameError`."""
    query = select(
        Job.id,
        Job.name,
        Job.owner_id,
        Job.state,
        Job.priority,
        Job.request,
        Job.attempt,
        Job.epoch,
        Job.epochs,
        (Job.lease_until < db_now()).label("expired"),
    ).where(Job.id == job_id)
    found = uow.session.execute(query.with_for_update()).first()
    if found is None:
        raise UnknownNameError("job", str(job_id), ())
    return LockedJob._make(found)


def move_locked(
    uow: UnitOfWork, job: LockedJob, end: State, *, actor: str, message: str, values: dict[str, Any]
) -> None:
    """Moves the job; raises `JobStateError` if it is no longer where it was."""
    if not move(uow, job.id, job.state, end, actor=actor, message=message, values=values):
        raise JobStateError(f"{job.label} changed meanwhile; try again")
