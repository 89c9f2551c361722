"""Steering jobs: pause, cancel, yield, resume, retry, remove; and draining workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, select, update

from versemill.errors import ConfigError, JobStateError, UnknownNameError
from versemill.jobs.execution.transitions import close_attempt, move, note
from versemill.jobs.service.corpora import drop_unused_text
from versemill.jobs.service.listings import job_view
from versemill.jobs.service.why_waiting import live_workers
from versemill.jobs.states import FailureClass, Outcome, Request, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import keep_needs
from versemill.jobs.storage.tables import Job, LyricText, Metric, StoredCheckpoint, Worker
from versemill.normalisation import spellings
from versemill.phrases import counted
from versemill.plugins.requirements import any_version, at_least

if TYPE_CHECKING:
    from collections.abc import Callable

    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.jobs.views import JobView, WorkerView

_ACCEPTED = "; a change of its plugins is accepted"


def request_cancel(store: Store, job_id: int, actor: str) -> State:
    """Cancels a waiting job at once; asks a running one to stop after a checkpoint.

    Returns:
        The job's state now.

    Raises:
        JobStateError: it has already succeeded or failed.
        UnknownNameError: no such job.
    """
    return _ask(store, job_id, actor, Request.CANCEL, State.CANCELLED)


def request_pause(store: Store, job_id: int, actor: str) -> State:
    """Pauses a waiting job at once; asks a running one to stop after a checkpoint.

    Returns and raises as `request_cancel` does.
    """
    return _ask(store, job_id, actor, Request.PAUSE, State.PAUSED)


def request_yield(store: Store, job_id: int, actor: str) -> State:
    """Asks a running job to make room: checkpoint, then wait its turn again.

    Returns and raises as `request_cancel` does; nothing to do for a waiting job.
    """
    return _ask(store, job_id, actor, Request.YIELD, State.QUEUED)


def resume(
    store: Store,
    job_id: int,
    actor: str,
    *,
    epochs: int | None = None,
    inexact: bool = False,
    accept_change: bool = False,
    wake: Callable[[], None] = lambda: None,
) -> JobView:
    """Queues a paused job again, or a finished one with more epochs.

    Args:
        store: where the job is.
        job_id: which.
        actor: who wants it.
        epochs: new total of epochs; needed for a job that has succeeded.
        inexact: go on even on a machine that computes in another way.
        accept_change: go on even with other versions of its plugins.
        wake: called after the commit, to tell workers.

    Raises:
        JobStateError: it is neither paused nor, with `epochs`, succeeded.
        ConfigError: `epochs` is not beyond what it has already trained.
        UnknownNameError: no such job.
    """
    with store.unit_of_work() as uow:
        job = _locked(uow, job_id)
        if job.state is State.SUCCEEDED and epochs is None:
            raise JobStateError(
                f"{job.label} has finished its {counted(job.epochs, 'epoch')}; "
                "give more with `--epochs N` or `--epochs +N`"
            )
        if job.state not in {State.PAUSED, State.SUCCEEDED}:
            hint = "; `versemill retry` tries it again" if job.state.ended else ""
            raise JobStateError(f"{job.label} is {job.state} and cannot be resumed{hint}")
        values: dict[str, Any] = {"inexact": inexact, "accepted_by": None}
        message = "resumed"
        if epochs is not None:
            values |= _more_epochs(uow, job, epochs)
            message = f"resumed, up to {counted(epochs, 'epoch')}"
        if accept_change:
            values |= _accepted(uow, job, actor)
            message += _ACCEPTED
        _requeue(uow, job, actor=actor, message=message, values=values)
        view = job_view(uow.session, job_id)
        uow.commit()
    wake()
    return view


def retry(
    store: Store,
    job_id: int,
    actor: str,
    *,
    from_scratch: bool = False,
    inexact: bool = False,
    accept_change: bool = False,
    wake: Callable[[], None] = lambda: None,
) -> JobView:
    """Queues a failed or cancelled job again; its failures so far no longer count.

    Args:
        store: where the job is.
        job_id: which.
        actor: who wants it.
        from_scratch: forget checkpoints, curve and lyrics instead of going on from the last.
        inexact: go on even on a machine that computes in another way.
        accept_change: go on even with other versions of its plugins.
        wake: called after the commit, to tell workers.

    Raises:
        JobStateError: it has neither failed nor been cancelled.
        UnknownNameError: no such job.
    """
    with store.unit_of_work() as uow:
        job = _locked(uow, job_id)
        if job.state not in {State.FAILED, State.CANCELLED}:
            raise JobStateError(
                f"{job.label} is {job.state}; only failed and cancelled jobs can be retried"
            )
        values: dict[str, Any] = {"inexact": inexact, "accepted_by": None}
        message = "retried from scratch" if from_scratch else "retried"
        if accept_change:
            values |= _accepted(uow, job, actor)
            message += _ACCEPTED
        elif from_scratch:
            values["needs"] = keep_needs(uow, at_least(_plugins(uow, job)))
        if from_scratch:
            values |= {"step": 0, "epoch": 0, "plan": None}
            values |= dict.fromkeys(("train_perplexity", "valid_perplexity"))
            for table in (Metric, LyricText, StoredCheckpoint):
                uow.execute(delete(table).where(table.job_id == job_id))
        _requeue(uow, job, actor=actor, message=message, values=values)
        view = job_view(uow.session, job_id)
        uow.commit()
    wake()
    return view


def remove(store: Store, job_id: int) -> None:
    """Deletes a job and all that belongs to it.

    Raises:
        JobStateError: it is running.
        UnknownNameError: no such job.
    """
    with store.unit_of_work() as uow:
        uow.lock("texts")
        job = _locked(uow, job_id)
        if job.state is State.RUNNING:
            raise JobStateError(
                f"{job.label} is running and cannot be removed; `versemill cancel {job_id}` first"
            )
        gone = delete(Job).where(Job.id == job_id, Job.state != State.RUNNING)
        content_hash = uow.execute(gone.returning(Job.content_hash)).scalar_one()
        drop_unused_text(uow, content_hash)
        uow.commit()


def drain(store: Store, name: str, actor: str) -> list[WorkerView]:
    """Tells every live worker called `name` to hand its jobs over and end.

    Returns:
        The workers. Each looks every two seconds at least, and is off the list once it has ended.

    Raises:
        UnknownNameError: no live worker is called so.
    """
    alive = live_workers(store)
    names = spellings(name)
    found = [worker for worker in alive if worker.name in names or worker.id == name]
    if not found:
        known = sorted({worker.name for worker in alive})
        raise UnknownNameError("live worker", name, known, hint="`versemill workers` lists them")
    ids = [worker.id for worker in found]
    with store.unit_of_work() as uow:
        uow.execute(update(Worker).where(Worker.id.in_(ids)).values(drained_by=actor))
        held = select(Job.id).where(Job.state == State.RUNNING, Job.worker_id.in_(ids))
        for job_id in uow.session.scalars(held).all():
            note(uow, job_id, actor=actor, message=f"drain of worker {found[0].name} requested")
        uow.commit()
    return found


class _Locked(NamedTuple):
    """A job whose row nobody else can change until the transaction has ended."""

    id: int
    name: str
    state: State
    request: Request
    attempt: int
    epoch: int
    epochs: int
    expired: bool | None

    @property
    def label(self) -> str:
        return f"job {self.id} ({self.name})"


def _locked(uow: UnitOfWork, job_id: int) -> _Locked:
    query = select(
        Job.id,
        Job.name,
        Job.state,
        Job.request,
        Job.attempt,
        Job.epoch,
        Job.epochs,
        (Job.lease_until < db_now()).label("expired"),
    ).where(Job.id == job_id)
    found = uow.session.execute(query.with_for_update()).first()
    if found is None:
        raise UnknownNameError("job", str(job_id), (), hint="`versemill jobs` lists them all")
    return _Locked(*found)


def _ask(store: Store, job_id: int, actor: str, request: Request, end: State) -> State:
    with store.unit_of_work() as uow:
        job = _locked(uow, job_id)
        if job.state is end:
            return end
        if job.state.ended or (job.state is State.PAUSED and end is State.QUEUED):
            raise JobStateError(f"{job.label} is already {job.state}; nothing to {request}")
        if job.state is State.RUNNING and not job.expired:
            _set_request(uow, job, actor, request)
            end = State.RUNNING
        else:
            _stop_now(uow, job, actor, request, end)
        uow.commit()
    return end


def _set_request(uow: UnitOfWork, job: _Locked, actor: str, request: Request) -> None:
    """Leaves a request with the holder of the lease, unless a stronger one is there."""
    asked = update(Job).where(
        Job.id == job.id, Job.state == State.RUNNING, Job.request.in_(request.weaker)
    )
    if uow.execute(asked.values(request=request).returning(Job.id)).first() is not None:
        note(uow, job.id, actor=actor, message=f"{request} requested")


def _stop_now(uow: UnitOfWork, job: _Locked, actor: str, request: Request, end: State) -> None:
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
    _moved(uow, job, end, actor=actor, message=message, values={})


def _requeue(
    uow: UnitOfWork, job: _Locked, *, actor: str, message: str, values: dict[str, Any]
) -> None:
    fresh = {"queued_at": db_now(), "available_at": db_now(), "retries_from": job.attempt}
    _moved(uow, job, State.QUEUED, actor=actor, message=message, values=fresh | values)


def _moved(
    uow: UnitOfWork, job: _Locked, end: State, *, actor: str, message: str, values: dict[str, Any]
) -> None:
    if not move(uow, job.id, job.state, end, actor=actor, message=message, values=values):
        raise JobStateError(f"{job.label} changed meanwhile; try again")


def _accepted(uow: UnitOfWork, job: _Locked, actor: str) -> dict[str, Any]:
    """Lets any version of its plugins go on with it; which they are is told when one does."""
    return {
        "needs": keep_needs(uow, any_version(_plugins(uow, job))),
        "accepted_by": actor,
    }


def _plugins(uow: UnitOfWork, job: _Locked) -> list[dict[str, Any]]:
    return uow.session.scalars(select(Job.plugins).where(Job.id == job.id)).one()


def _more_epochs(uow: UnitOfWork, job: _Locked, epochs: int) -> dict[str, Any]:
    least = job.epochs + 1 if job.state is State.SUCCEEDED else max(job.epoch, 1)
    if epochs < least:
        raise ConfigError("training.epochs", epochs, f"at least {least} for {job.label}")
    config = uow.session.scalars(select(Job.config).where(Job.id == job.id)).one()
    training = {**config["training"], "epochs": epochs}
    return {"config": {**config, "training": training}, "epochs": epochs}
