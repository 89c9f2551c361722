"""Changing how urgent a job is that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import update

from versemill.errors import JobStateError
from versemill.jobs.execution.transitions import note
from versemill.jobs.service.listings import job_view
from versemill.jobs.service.locked_job import lock_job
from versemill.jobs.service.queueing import check_may_queue
from versemill.jobs.service.rights import account, require_owner
from versemill.jobs.service.waking import Queued, no_wake
from versemill.jobs.states import Priority, State
from versemill.jobs.storage.tables import Job

if TYPE_CHECKING:
    from versemill.jobs.service.principal import Principal
    from versemill.jobs.service.waking import Wake
    from versemill.jobs.storage.unit_of_work import Store


def set_priority(
    store: Store,
    job_id: int,
    priority: Priority,
    principal: Principal,
    *,
    wake: Wake = no_wake,
) -> Queued:
    """Gives a job that waits or is paused another priority; it keeps the time it has waited.

    Raises:
        ForbiddenError: it is somebody else's, and the principal is no admin.
        LimitError: it would be urgent, and its owner has as many such as their limit allows.
        JobStateError: it runs or has ended.
        UnknownNameError: no such job.
    """
    with store.unit_of_work() as uow:
        job = lock_job(uow, job_id)
        require_owner(uow.session, job.owner_id, principal, "change the priority of", job.label)
        if job.state not in {State.QUEUED, State.PAUSED}:
            raise JobStateError(
                f"{job.label} is {job.state}; only jobs that wait or are paused can get another "
                "priority"
            )
        if job.priority is not priority:
            owner = account(uow.session, job.owner_id)
            check_may_queue(uow, owner, principal, priority, waiting=True)
            # A place that is kept for an urgent job is no longer its own when it is not urgent.
            values = {"priority": priority, "place_worker_id": None}
            uow.execute(update(Job).where(Job.id == job_id).values(values))
            message = f"priority {priority} instead of {job.priority}"
            note(uow, job_id, actor=principal.actor, message=message)
        view = job_view(uow.session, job_id)
        uow.commit()
    return Queued.after(wake, view)
