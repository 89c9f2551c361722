"""Steering jobs: pause, cancel, yield, remove; and draining workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from versemill.errors import JobStateError, UnknownNameError
from versemill.jobs.execution.transitions import close_attempt, note
from versemill.jobs.service.corpora import drop_unused_text
from versemill.jobs.service.dependencies import refuse_if_awaited
from versemill.jobs.service.locked_job import LockedJob, lock_job, move_locked
from versemill.jobs.service.rights import require_admin, require_owner
from versemill.jobs.service.why_waiting import live_workers
from versemill.jobs.states import FailureClass, Outcome, Request, State
from versemill.jobs.storage.tables import Job, Worker
from versemill.normalisation import spellings

if TYPE_CHECKING:
    from versemill.jobs.service.principal import Principal
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.jobs.views import WorkerView


def request_cancel(store: Store, job_id: int, principal: Principal) -> State:
    """Cancels a waiting job at once; asks a running one to stop after a checkpoint.

    Returns:
        The job's state now.

    Raises:
        ForbiddenError: it is somebody else's, and the principal is no admin.
        JobStateError: it has already succeeded or failed.
        UnknownNameError: no such job.
    """
    return _ask(store, job_id, principal, Request.CANCEL, State.CANCELLED)


def request_pause(store: Store, job_id: int, principal: Principal) -> State:
    """Pauses a waiting job at once; asks a running one to stop after a checkpoint.

    Returns and raises as `request_cancel` does.
    """
    return _ask(store, job_id, principal, Request.PAUSE, State.PAUSED)


def request_yield(store: Store, job_id: int, principal: Principal) -> State:
    """Asks a running job to make room: checkpoint, then wait its turn again.

    Returns and raises as `request_cancel` does; nothing to do for a waiting job.
    """
    return _ask(store, job_id, principal, Request.YIELD, State.QUEUED)


def remove(store: Store, job_id: int, principal: Principal) -> None:
    """Deletes a job and all that belongs to it.

    Args:
        store: where the job is.
        job_id: which.
        principal: who wants it.

    Raises:
        ForbiddenError: it is somebody else's, and the principal is no admin.
        JobStateError: it is running, or others wait for it.
        UnknownNameError: no such job.
    """
    with store.unit_of_work() as uow:
        uow.lock("texts")
        job = lock_job(uow, job_id)
        require_owner(uow.session, job.owner_id, principal, "remove", job.label)
        if job.state is State.RUNNING:
            raise JobStateError(
                f"{job.label} is running and cannot be removed", reason="running", job_id=job_id
            )
        refuse_if_awaited(uow, job_id, job.label)
        gone = delete(Job).where(Job.id == job_id, Job.state != State.RUNNING)
        content_hash = uow.execute(gone.returning(Job.content_hash)).scalar_one()
        drop_unused_text(uow, content_hash)
        uow.commit()


def drain(store: Store, name: str, principal: Principal) -> list[WorkerView]:
    """Tells every live worker called `name` to hand its jobs over and end.

    Returns:
        The workers. Each looks every two seconds at least, and is off the list once it has ended.

    Raises:
        ForbiddenError: the principal is no admin.
        UnknownNameError: no live worker is called so.
    """
    with store.reading() as session:
        require_admin(session, principal, "drain workers")
    alive = live_workers(store)
    names = spellings(name)
    found = [worker for worker in alive if worker.name in names or worker.id == name]
    if not found:
        known = sorted({worker.name for worker in alive})
        raise UnknownNameError("live worker", name, known)
    ids = [worker.id for worker in found]
    with store.unit_of_work() as uow:
        uow.execute(update(Worker).where(Worker.id.in_(ids)).values(drained_by=principal.actor))
        held = select(Job.id).where(Job.state == State.RUNNING, Job.worker_id.in_(ids))
        for job_id in uow.session.scalars(held).all():
            note(
                uow,
                job_id,
                actor=principal.actor,
                message=f"drain of worker {found[0].name} requested",
            )
        uow.commit()
    return found


def _ask(store: Store, job_id: int, principal: Principal, request: Request, end: State) -> State:
    with store.unit_of_work() as uow:
        job = lock_job(uow, job_id)
        require_owner(uow.session, job.owner_id, principal, request, job.label)
        if job.state is end:
            return end
        if job.state.ended or (job.state is State.PAUSED and end is State.QUEUED):
            raise JobStateError(f"{job.label} is already {job.state}; nothing to {request}")
        if job.state is State.RUNNING and not job.expired:
            _set_request(uow, job, principal, request)
            end = State.RUNNING
        else:
            _stop_now(uow, job, principal, request, end)
        uow.commit()
    return end


def _set_request(uow: UnitOfWork, job: LockedJob, principal: Principal, request: Request) -> None:
    """Leaves a request with the holder of the lease, unless a stronger one is there."""
    asked = update(Job).where(
        Job.id == job.id, Job.state == State.RUNNING, Job.request.in_(request.weaker)
    )
    if uow.execute(asked.values(request=request).returning(Job.id)).first() is not None:
        note(uow, job.id, actor=principal.actor, message=f"{request} requested")


def _stop_now(
    uow: UnitOfWork, job: LockedJob, principal: Principal, request: Request, end: State
) -> None:
    """Moves a waiting job, or one whose worker is gone, without asking anybody."""
    message = f"{request} requested"
    if job.state is State.RUNNING:
        message += "; its worker is gone: the last checkpoint stands, if there is one"
        close_attempt(
            uow,
            job.id,
            job.attempt,
            end=end,
            failure=FailureClass.INFRASTRUCTURE,
            outcome=Outcome.LEASE_EXPIRED,
        )
    move_locked(uow, job, end, actor=principal.actor, message=message, values={})
