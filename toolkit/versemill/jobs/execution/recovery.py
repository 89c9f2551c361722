"""After something went wrong: try again, give up, or take a job off a worker that is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, exists, select, update

from versemill.jobs.devices import GPU, in_gigabytes
from versemill.jobs.execution.claims import fence, held
from versemill.jobs.execution.memory_learning import learn, raised
from versemill.jobs.execution.transitions import close_attempt, move
from versemill.jobs.states import (
    GPU_MEMORY_RETRIES,
    LEASE_SECONDS,
    RETRIES,
    FailureClass,
    Outcome,
    Request,
    RetryPolicy,
    State,
)
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Job, StoredCheckpoint, Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.jobs.execution.claims import Claim
    from versemill.jobs.execution.live_workers import WorkerRecord
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork

WORKER_KEPT_SECONDS = 5 * LEASE_SECONDS


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """What becomes of a job after a failure."""

    end: State
    message: str
    error: str | None
    delay: float = 0.0


def fail_or_retry(
    store: Store,
    claim: Claim,
    failure: FailureClass,
    *,
    error: str,
    exit: str | None = None,  # noqa: A002 - the column's name
    cause: Mapping[str, Any] | None = None,
    memory_used: int | None = None,
) -> State:
    """Ends a failed attempt: the job waits for the next one, or has failed.

    What people asked for meanwhile comes first: a cancelled job is not tried again, nor is a
    paused one before it is resumed.

    Args:
        store: where the job is.
        claim: the claim that holds it.
        failure: why; decides how often and how soon it is tried again (`states.RETRIES`).
        error: what happened, one line.
        exit: how the trainer ended, in words.
        cause: the error as data (`VersemillError.to_json`), kept as the result of a job that
            has failed.
        memory_used: most bytes of a GPU's memory that the trainer has taken. A job that ran out of
            it is tried again with more.

    Returns:
        The state the job has got.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        request = fence(uow, claim)
        requirements, policy, error = _more_memory(uow, claim, failure, error, cause, memory_used)
        decision = _decide(uow, claim.job_id, claim.attempt, request, failure, error, policy)
        move(
            uow,
            claim.job_id,
            State.RUNNING,
            decision.end,
            actor=claim.worker_name,
            message=decision.message,
            only_if=held(claim),
            values=_values(decision, requirements) | _result(decision, cause),
        )
        close_attempt(
            uow, claim.job_id, claim.attempt, end=decision.end, failure=failure, exit=exit
        )
        uow.commit()
    learn(store, claim.job_id, claim.attempt, claim.device)
    return decision.end


def _more_memory(
    uow: UnitOfWork,
    claim: Claim,
    failure: FailureClass,
    error: str,
    cause: Mapping[str, Any] | None,
    used: int | None,
) -> tuple[str | None, RetryPolicy, str]:
    """For a job that ran out of a GPU's memory: what it requires then, how often, and the error.

    With a cause, the trainer has refused it before it began: more memory would change nothing.
    """
    if used is not None:
        uow.execute(
            update(Attempt)
            .where(Attempt.job_id == claim.job_id, Attempt.number == claim.attempt)
            .values(memory_used=used)
        )
    on_gpu = failure is FailureClass.OUT_OF_MEMORY and claim.device.kind == GPU
    if not on_gpu or cause is not None:
        return None, RETRIES[failure], error
    found = raised(uow, claim.job_id, claim.device, claim.needs.memory, used)
    if found is None:
        return None, RetryPolicy(cap=0), f"{error}; no GPU has more memory"
    requirements, memory = found
    return requirements, GPU_MEMORY_RETRIES, f"{error}; needs {in_gigabytes(memory)} from now on"


def sweep(store: Store, worker: WorkerRecord | None = None) -> list[int]:
    """Repairs what dead workers left; any number of sweepers at once do no harm.

    Jobs whose lease has expired are queued again (or cancelled or paused, if people asked for
    it; or failed, if it has happened too often), dead workers are taken off the list, and
    checkpoints that nobody will complete are deleted.

    Args:
        store: what to sweep.
        worker: the sweeping worker. It leaves others' jobs alone until it has itself been seen
            for one lease without a gap: after an outage of the database everybody's lease has
            expired, and their holders come first. None sweeps at once.

    Returns:
        Ids of the jobs that were queued again.
    """
    requeued = []
    if worker is None or _seen_without_gap(store, worker):
        with store.reading() as session:
            expired = session.execute(select(Job.id, Job.attempt).where(*_expired())).all()
        requeued = [
            job_id
            for job_id, attempt in expired
            if _requeue_expired(store, job_id, attempt, worker) is State.QUEUED
        ]
    _prune(store)
    return requeued


def _seen_without_gap(store: Store, worker: WorkerRecord) -> bool:
    with store.reading() as session:
        found = session.scalar(
            select(Worker.id).where(
                Worker.id == worker.id,
                Worker.seen_at >= db_now(-LEASE_SECONDS),
                Worker.steady_since <= db_now(-LEASE_SECONDS),
            )
        )
    return found is not None


def _expired() -> tuple[Any, ...]:
    return (Job.state == State.RUNNING, Job.lease_until < db_now())


def _requeue_expired(
    store: Store, job_id: int, attempt: int, worker: WorkerRecord | None
) -> State | None:
    """Takes one job off its holder, unless the lease was renewed meanwhile."""
    still = (Job.id == job_id, Job.attempt == attempt, *_expired())
    lock = update(Job).where(*still).values(attempt=Job.attempt).returning(Job.request)
    with store.unit_of_work() as uow:
        request = uow.execute(lock).scalar_one_or_none()
        if request is None:
            return None
        holder, step = uow.session.execute(
            select(Attempt.worker_name, Job.step)
            .join(Job, Job.id == Attempt.job_id)
            .where(Attempt.job_id == job_id, Attempt.number == attempt)
        ).one()
        error = f"worker {holder} was lost at step {step:,} (it stopped renewing its lease)"
        infrastructure = FailureClass.INFRASTRUCTURE
        decision = _decide(uow, job_id, attempt, request, infrastructure, error)
        moved = move(
            uow,
            job_id,
            State.RUNNING,
            decision.end,
            actor=f"{worker.name} (sweep)" if worker else "sweep",
            message=decision.message,
            only_if=(Job.attempt == attempt,),
            values=_values(decision),
        )
        close_attempt(
            uow,
            job_id,
            attempt,
            end=decision.end,
            failure=infrastructure,
            outcome=Outcome.LEASE_EXPIRED,
        )
        uow.commit()
    return decision.end if moved else None


def _decide(
    uow: UnitOfWork,
    job_id: int,
    attempt: int,
    request: Request,
    failure: FailureClass,
    error: str,
    policy: RetryPolicy | None = None,
) -> _Decision:
    if request is Request.CANCEL:
        return _Decision(end=State.CANCELLED, message=f"{error}; cancelled as asked", error=error)
    if request is Request.PAUSE and failure is not FailureClass.USER:
        return _Decision(end=State.PAUSED, message=f"{error}; paused as asked", error=None)
    policy = policy or RETRIES[failure]
    failures = _consecutive_failures(uow, job_id, attempt, failure)
    if not policy.allows(failures):
        if policy.cap:
            error = f"{error}; gave up after {failures} such failures without a new checkpoint"
        return _Decision(end=State.FAILED, message=error, error=error)
    delay = policy.delay(failures)
    soon = f" in {delay:g} s" if delay else ""
    message = f"{error}; trying again{soon} ({failures} of {policy.cap})"
    return _Decision(end=State.QUEUED, message=message, error=None, delay=delay)


def _consecutive_failures(uow: UnitOfWork, job_id: int, attempt: int, failure: FailureClass) -> int:
    """Failures of this class, the current attempt's included, since the last progress.

    Progress is a complete checkpoint at a higher step than any before. A failure after it is
    the first of a new row: a job that gets somewhere between failures is never given up.
    """
    counted_from = select(Job.retries_from).where(Job.id == job_id).scalar_subquery()
    rows = uow.session.execute(
        select(Attempt.number, Attempt.failure, Attempt.checkpoint_step)
        .where(Attempt.job_id == job_id, Attempt.number > counted_from)
        .order_by(Attempt.number)
    )
    failures, highest = 0, -1
    for number, failed_as, step in rows:
        if step is not None and step > highest:
            failures, highest = 0, step
        if failed_as is failure or number == attempt:
            failures += 1
    return failures


def _values(decision: _Decision, requirements: str | None = None) -> dict[str, Any]:
    values: dict[str, Any] = {"error": decision.error}
    if requirements is not None:
        values["requirements"] = requirements
    if decision.end is State.QUEUED:
        values["available_at"] = db_now(decision.delay)
    return values


def _result(decision: _Decision, cause: Mapping[str, Any] | None) -> dict[str, Any]:
    if cause is None or decision.end is not State.FAILED:
        return {}
    return {"result": {"error": dict(cause)}}


def _prune(store: Store) -> None:
    dead = Worker.seen_at < db_now(-WORKER_KEPT_SECONDS)
    being_uploaded = and_(
        Job.id == StoredCheckpoint.job_id,
        Job.attempt == StoredCheckpoint.attempt,
        Job.state == State.RUNNING,
    )
    abandoned = (StoredCheckpoint.complete.is_(False), ~exists().where(being_uploaded))
    with store.reading() as session:  # most sweeps find nothing, and then write nothing
        nothing = (
            session.scalar(select(Worker.id).where(dead).limit(1)) is None
            and session.scalar(select(StoredCheckpoint.id).where(*abandoned).limit(1)) is None
        )
    if nothing:
        return
    with store.unit_of_work() as uow:
        uow.execute(delete(Worker).where(dead))
        uow.execute(delete(StoredCheckpoint).where(*abandoned))
        uow.commit()
