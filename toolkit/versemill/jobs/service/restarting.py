"""Queueing jobs again that have stopped: resume, retry, or whichever of them fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from sqlalchemy import case, delete, select

from versemill.errors import ConfigError, JobStateError
from versemill.jobs.service.listings import job_view
from versemill.jobs.service.locked_job import LockedJob, lock_job, move_locked
from versemill.jobs.service.queueing import check_may_queue
from versemill.jobs.service.rights import account, require_owner
from versemill.jobs.service.steering import request_pause
from versemill.jobs.service.timing import Timing
from versemill.jobs.service.waking import Queued, no_wake
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import device_needs, keep_requirements
from versemill.jobs.storage.tables import Job, LyricText, Metric, StoredCheckpoint
from versemill.phrases import counted, exact_duration
from versemill.plugins.record import records_from_json
from versemill.plugins.requirements import any_version, at_least

if TYPE_CHECKING:
    from collections.abc import Iterable

    from versemill.jobs.service.principal import Principal
    from versemill.jobs.service.waking import Wake
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.jobs.views import JobView
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.requirements import Requirement

_ACCEPTED = "; a change of its plugins is accepted"


class ResumeOptions(TypedDict, total=False):
    """The options of `resume`, for callers that pass them on."""

    epochs: int | None
    more_epochs: int | None
    time_limit: float | None
    inexact: bool
    accept_change: bool


def resume(
    store: Store,
    job_id: int,
    principal: Principal,
    *,
    epochs: int | None = None,
    more_epochs: int | None = None,
    time_limit: float | None = None,
    inexact: bool = False,
    accept_change: bool = False,
    wake: Wake = no_wake,
) -> Queued:
    """Queues a paused job again, or a finished one with more epochs.

    Args:
        store: where the job is.
        job_id: which.
        principal: who wants it.
        epochs: new total of epochs; a job that has succeeded needs it, or `more_epochs`.
        more_epochs: so many beyond the present total, instead of `epochs`.
        time_limit: a new limit, in seconds of device time, earlier attempts included. A job that
            has ended at its limit needs it.
        inexact: go on even on a machine that computes in another way.
        accept_change: go on even with other versions of its plugins.
        wake: called after the commit, to tell workers.

    Raises:
        ForbiddenError: it is somebody else's, or its owner is disabled.
        LimitError: its owner has as many jobs as their limit allows.
        JobStateError: it is neither paused nor, with `epochs`, succeeded.
        ConfigError: `epochs` is not beyond what it has already trained.
        UnknownNameError: no such job.
    """
    with store.unit_of_work() as uow:
        job = lock_job(uow, job_id)
        require_owner(uow.session, job.owner_id, principal, "resume", job.label)
        if more_epochs is not None:
            epochs = job.epochs + more_epochs
        limit = uow.scalar(select(Job.time_limit).where(Job.id == job_id))
        limited = job.state is State.SUCCEEDED and limit is not None and job.epoch < job.epochs
        if limited and time_limit is None:
            raise JobStateError(
                f"{job.label} has ended before its {counted(job.epochs, 'epoch')}, and has a time "
                f"limit of {exact_duration(limit or 0)}",
                reason="time-limit",
                job_id=job_id,
            )
        if job.state is State.SUCCEEDED and epochs is None and not limited:
            raise JobStateError(
                f"{job.label} has finished its {counted(job.epochs, 'epoch')}",
                reason="finished",
                job_id=job_id,
            )
        if job.state not in {State.PAUSED, State.SUCCEEDED}:
            raise JobStateError(
                f"{job.label} is {job.state} and cannot be resumed",
                reason="over" if job.state.ended else "",
                job_id=job_id,
            )
        values: dict[str, Any] = {"inexact": inexact}
        message = "resumed"
        if epochs is not None:
            values |= _more_epochs(uow, job, epochs)
            message = f"resumed, up to {counted(epochs, 'epoch')}"
        if time_limit is not None:
            values["time_limit"] = Timing(time_limit=time_limit).time_limit
            message += f"; time limit {exact_duration(time_limit)}"
        view = _requeue(uow, job, principal, message, values, accept_change=accept_change)
    return Queued.after(wake, view)


def retry(
    store: Store,
    job_id: int,
    principal: Principal,
    *,
    from_scratch: bool = False,
    inexact: bool = False,
    accept_change: bool = False,
    wake: Wake = no_wake,
) -> Queued:
    """Queues a failed or cancelled job again; its failures so far no longer count.

    Args:
        store: where the job is.
        job_id: which.
        principal: who wants it.
        from_scratch: forget checkpoints, curve and lyrics instead of going on from the last.
        inexact: go on even on a machine that computes in another way.
        accept_change: go on even with other versions of its plugins.
        wake: called after the commit, to tell workers.

    Raises:
        ForbiddenError: it is somebody else's, or its owner is disabled.
        LimitError: its owner has as many jobs as their limit allows.
        JobStateError: it has neither failed nor been cancelled.
        UnknownNameError: no such job.
    """
    with store.unit_of_work() as uow:
        job = lock_job(uow, job_id)
        require_owner(uow.session, job.owner_id, principal, "retry", job.label)
        if job.state not in {State.FAILED, State.CANCELLED}:
            raise JobStateError(
                f"{job.label} is {job.state}; only failed and cancelled jobs can be retried"
            )
        values: dict[str, Any] = {"inexact": inexact}
        message = "retried from scratch" if from_scratch else "retried"
        if from_scratch:
            if not accept_change:
                values["requirements"] = _requirements(uow, job, at_least(_plugins(uow, job)))
            values |= {"step": 0, "epoch": 0, "machine": None}
            values |= dict.fromkeys(("train_perplexity", "valid_perplexity"))
            for table in (Metric, LyricText, StoredCheckpoint):
                uow.execute(delete(table).where(table.job_id == job_id))
        view = _requeue(uow, job, principal, message, values, accept_change=accept_change)
    return Queued.after(wake, view)


def resume_or_retry(
    store: Store,
    job_id: int,
    principal: Principal,
    *,
    wake: Wake = no_wake,
    **options: Unpack[ResumeOptions],
) -> Queued:
    """Queues a job again that had stopped, in whatever way; leaves one alone that waits or runs.

    What a waiting one is newly allowed reaches it by a pause. Options as for `resume`.

    Raises:
        JobStateError: other epochs are wanted for a job that is neither paused nor succeeded.
        ConfigError: they are not beyond what it has already trained.
        UnknownNameError: no such job.
    """
    with store.reading() as session:
        job = job_view(session, job_id)
    inexact, accept_change = options.get("inexact", False), options.get("accept_change", False)
    paused = job.state is State.PAUSED
    if job.state is State.QUEUED and (inexact or accept_change):
        paused = request_pause(store, job.id, principal) is State.PAUSED
    if paused or job.state is State.SUCCEEDED:
        return resume(store, job.id, principal, wake=wake, **options)
    if options.get("epochs") is not None or options.get("more_epochs") is not None:
        raise JobStateError(
            f"job {job.id} ({job.name}) is {job.state_shown}; only paused and succeeded jobs can "
            "get other epochs"
        )
    if job.state.ended:
        return retry(
            store, job.id, principal, inexact=inexact, accept_change=accept_change, wake=wake
        )
    return Queued(job=job)


def _requeue(
    uow: UnitOfWork,
    job: LockedJob,
    principal: Principal,
    message: str,
    values: dict[str, Any],
    *,
    accept_change: bool,
) -> JobView:
    """Queues the job, commits, and returns the job as it is then."""
    check_may_queue(uow, account(uow.session, job.owner_id), principal, job.priority)
    turn = case((Job.begin_at > db_now(), Job.begin_at), else_=db_now())
    fresh: dict[str, Any] = {
        "queued_at": turn,
        "available_at": turn,
        "retries_from": job.attempt,
        "place_worker_id": None,
    }
    values = {**fresh, "accepted_by": None, **values}
    if accept_change:
        values |= _accepted(uow, job, principal)
        message += _ACCEPTED
    move_locked(uow, job, State.QUEUED, actor=principal.actor, message=message, values=values)
    view = job_view(uow.session, job.id)
    uow.commit()
    return view


def _accepted(uow: UnitOfWork, job: LockedJob, principal: Principal) -> dict[str, Any]:
    """Lets any version of its plugins go on with it; an event says which when one does."""
    return {
        "requirements": _requirements(uow, job, any_version(_plugins(uow, job))),
        "accepted_by": principal.actor,
    }


def _requirements(uow: UnitOfWork, job: LockedJob, plugins: Iterable[Requirement]) -> str:
    """Other plugins required, on the same device as before."""
    stored = uow.scalar(select(Job.requirements).where(Job.id == job.id))
    return keep_requirements(uow, plugins, device_needs(uow.session, stored))


def _plugins(uow: UnitOfWork, job: LockedJob) -> tuple[PluginRecord, ...]:
    stored = uow.session.scalars(select(Job.plugins).where(Job.id == job.id)).one()
    return records_from_json(stored)


def _more_epochs(uow: UnitOfWork, job: LockedJob, epochs: int) -> dict[str, Any]:
    least = job.epochs + 1 if job.state is State.SUCCEEDED else max(job.epoch, 1)
    if epochs < least:
        raise ConfigError("training.epochs", epochs, f"at least {least} for {job.label}")
    config = uow.session.scalars(select(Job.config).where(Job.id == job.id)).one()
    training = {**config["training"], "epochs": epochs}
    return {"config": {**config, "training": training}, "epochs": epochs}
