"""Claims: take the next job, hold it by a lease, let it go.

Every transaction of a running job begins with one UPDATE that finds the job only while this
attempt holds it. If it finds nothing the attempt is fenced off: `FencedError`, nothing written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from versemill.errors import FencedError
from versemill.jobs.devices import ANY_CPU, CPU
from versemill.jobs.execution.admission import choose, machines_of, started, suitable
from versemill.jobs.execution.deliveries import record_deliveries
from versemill.jobs.execution.memory_learning import learn
from versemill.jobs.execution.queue_heads import any_waits, queue_heads
from versemill.jobs.execution.transitions import close_attempt, move
from versemill.jobs.states import (
    LEASE_SECONDS,
    FailureClass,
    Request,
    State,
    check_transition,
)
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Attempt, Job, StoredRequirements, StoredText
from versemill.phrases import counted
from versemill.plugins.record import records_from_json
from versemill.plugins.requirements import from_json
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Select

    from versemill.jobs.devices import Device, DeviceNeeds
    from versemill.jobs.execution.admission import Choice
    from versemill.jobs.execution.live_workers import WorkerRecord
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.requirements import Requirement

RENEW_SECONDS = 10.0
MISMATCH_DELAY_SECONDS = 10.0
"""How long a job waits that a worker claimed and could not do after all: it may claim it again."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A job held by one attempt of one worker.

    Attributes:
        attempt: number of this attempt, from 1.
        config: the job's configuration as JSON values.
        plugins: records of the plugins it was submitted with.
        content_hash: of its text; see `load_text`.
        inexact: whether it may go on although this machine computes in another way.
        device: the one that it runs on.
        needs: what it needs of a device.
        requirements: what it requires of plugins.
        accepted_by: who has accepted that its plugins have changed; None if nobody has.
        time_limit: most seconds of device time, over all attempts; None for no limit.
        seconds_left: what that leaves to this attempt; None without a limit.
    """

    job_id: int
    job_name: str
    attempt: int
    worker_id: str
    worker_name: str
    config: dict[str, Any]
    plugins: tuple[PluginRecord, ...]
    content_hash: str
    inexact: bool
    device: Device
    needs: DeviceNeeds
    requirements: tuple[Requirement, ...]
    accepted_by: str | None
    time_limit: float | None
    seconds_left: float | None

    @property
    def machine(self) -> str | None:
        """The kind of machine that works on it (`KernelPlan.machine`); None if not known."""
        return self.device.machine


def runnable(
    store: Store,
    worker: WorkerRecord,
    *,
    devices: Sequence[Device] = (ANY_CPU,),
    only: int | None = None,
) -> bool:
    """Whether a claim by this worker might find a job; cheap, and says nothing of limits."""
    with store.reading() as session:
        fits, machines = suitable(session, worker, devices), machines_of(devices)
        if only is None:
            return any_waits(session, requirements=fits, machines=machines)
        return bool(queue_heads(session, requirements=fits, machines=machines, only=only))


def claim(
    store: Store,
    worker: WorkerRecord,
    *,
    devices: Sequence[Device] = (ANY_CPU,),
    only: int | None = None,
) -> Claim | None:
    """Claims the job that is next (`scheduling`) and opens an attempt.

    Claims are serialised over all workers, so that order is decided by one at a time.

    Args:
        store: where the jobs are.
        worker: who claims. A job that needs plugins it has not, or not in a version that will do,
            is left to others; it may take any job while its plugins are not known.
        devices: those that it may start a job on, as just measured. A job with a checkpoint made
            on another kind of machine (`Device.machine`) is left to workers of that kind, unless
            it may go on inexactly.
        only: this job or none.

    Returns:
        The claim, or None if nothing can be run now.
    """
    with store.reading() as session:
        if session.scalar(_any_waiting()) is None:
            return None  # without the lock; polls ask `runnable` first, which is more exact
    with store.unit_of_work() as uow:
        uow.lock("claims")
        # A person may cancel or pause it in between; then it is looked for again.
        while (choice := choose(uow, worker, devices, only)) is not None:
            claimed = _take(uow, choice, worker)
            if claimed is not None:
                uow.commit()
                return claimed
        uow.commit()  # a device may be kept free now
    return None


@cache
def _any_waiting() -> Select[int]:
    waits = (Job.state == State.QUEUED, Job.held.is_(False))
    return select(Job.id).where(*waits).limit(1)


def _take(uow: UnitOfWork, choice: Choice, worker: WorkerRecord) -> Claim | None:
    head, device = choice.head, choice.device
    taken = {
        "attempt": Job.attempt + 1,
        "worker_id": worker.id,
        "lease_until": db_now(LEASE_SECONDS),
        "place_worker_id": None,
    }
    where = "" if device.kind == CPU else f" on {device.name}"
    if not move(
        uow,
        head.job_id,
        State.QUEUED,
        State.RUNNING,
        actor=worker.name,
        message=f"claimed by worker {worker.name}{where}",
        values=taken,
    ):
        return None
    columns = (Job.name, Job.attempt, Job.config, Job.plugins, Job.content_hash, Job.time_limit)
    found = uow.session.execute(
        select(
            *columns, Job.inexact, Job.accepted_by, Job.queued_at, StoredRequirements.requirements
        )
        .outerjoin(StoredRequirements, StoredRequirements.digest == Job.requirements)
        .where(Job.id == head.job_id)
    ).one()
    attempt = {
        "worker_id": worker.id,
        "worker_name": worker.name,
        "device_kind": device.kind,
        "device_id": None if device.kind == CPU else device.id,
        "device_name": device.name,
        "share": choice.share,
        "memory": choice.needs.memory or None,
    }
    uow.execute(insert(Attempt).values(job_id=head.job_id, number=found.attempt, **attempt))
    started(uow, choice, found.queued_at)
    return Claim(
        job_id=head.job_id,
        job_name=found.name,
        attempt=found.attempt,
        worker_id=worker.id,
        worker_name=worker.name,
        config=found.config,
        plugins=records_from_json(found.plugins),
        content_hash=found.content_hash,
        inexact=found.inexact,
        device=device,
        needs=choice.needs,
        requirements=from_json(found.requirements or ()),
        accepted_by=found.accepted_by,
        time_limit=found.time_limit,
        seconds_left=_seconds_left(uow, head.job_id, found.attempt, found.time_limit),
    )


def _seconds_left(uow: UnitOfWork, job_id: int, attempt: int, limit: float | None) -> float | None:
    """Device time that the job's limit leaves it, after all earlier attempts."""
    if limit is None:
        return None
    earlier = select(Attempt.started_at, Attempt.ended_at, Attempt.given_back).where(
        Attempt.job_id == job_id, Attempt.number < attempt, Attempt.ended_at.is_not(None)
    )
    used = sum(
        (ended_at - started_at).total_seconds() - given_back
        for started_at, ended_at, given_back in uow.session.execute(earlier)
        if ended_at is not None
    )
    return max(0.0, limit - used)


def held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    """The conditions under which the claim still holds its job."""
    return (Job.id == claim.job_id, Job.attempt == claim.attempt, Job.state == State.RUNNING)


def fence(uow: UnitOfWork, claim: Claim, **values: object) -> Request:
    """First statement of every transaction of a running job; sets `values` and locks the row.

    Returns:
        What people want of the job now.

    Raises:
        FencedError: the claim no longer holds the job.
    """
    changed = values or {"attempt": Job.attempt}
    statement = update(Job).where(*held(claim)).values(changed)
    statement = statement.returning(Job.request, Job.preempted_for, Job.reservation_id)
    found = uow.execute(statement).first()
    if found is None:
        raise fenced(claim)
    return _wanted(found.request, found.preempted_for, found.reservation_id)


def fenced(claim: Claim) -> FencedError:
    """The error of a claim that no longer holds its job."""
    return FencedError(
        f"attempt {claim.attempt} no longer holds job {claim.job_id} ({claim.job_name}): "
        "it was requeued or ended meanwhile; nothing was written"
    )


def renew(store: Store, claim: Claim) -> Request:
    """Extends the lease by `LEASE_SECONDS`, late or not, and returns what people want.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        request = fence(uow, claim, lease_until=db_now(LEASE_SECONDS))
        uow.commit()
    return request


def read_request(store: Store, claim: Claim) -> Request:
    """What people want of the job now: one read, extends nothing.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.reading() as session:
        wanted = select(Job.request, Job.preempted_for, Job.reservation_id)
        found = session.execute(wanted.where(*held(claim))).first()
    if found is None:
        raise fenced(claim)
    return _wanted(*found)


def _wanted(request: Request, preempted_for: int | None, reservation_id: int | None) -> Request:
    """What is wanted of a job: what people ask for, or its place, urgently needed or reserved."""
    if request is Request.NONE and (preempted_for is not None or reservation_id is not None):
        return Request.PREEMPT
    return request


def load_text(store: Store, claim: Claim) -> Text:
    """The text the job trains on."""
    with store.reading() as session:
        content = session.scalars(
            select(StoredText.content).where(StoredText.content_hash == claim.content_hash)
        ).one()
    return Text.from_bytes(content)


def finish(
    store: Store,
    claim: Claim,
    end: State,
    *,
    message: str,
    result: dict[str, Any] | None = None,
    error: str | None = None,
    exit: str | None = None,  # noqa: A002 - the column's name
    failure: FailureClass | None = None,
) -> None:
    """Lets the job go: succeeded, paused, cancelled, failed, or queued again (handed over).

    Raises:
        FencedError: the job was requeued or ended meanwhile.
        JobStateError: a running job cannot go there.
    """
    check_transition(State.RUNNING, end)
    # Before its place is free: who takes it is admitted with what this one has shown.
    learn(store, claim.job_id, claim.attempt, claim.device)
    with store.unit_of_work() as uow:
        values: dict[str, Any] = {"error": error}
        if result is not None:
            values["result"] = result
        request = fence(uow, claim)
        gave_way = end is State.QUEUED and request is Request.PREEMPT
        ended = close_attempt(
            uow,
            claim.job_id,
            claim.attempt,
            end=_final_state(end, request),
            failure=failure,
            exit=exit,
            lost_to_others=gave_way,
        )
        if gave_way:
            message = f"{message}; {_receipt(uow, claim, given_back=ended)}"
            record_deliveries(uow, claim.job_id, ("preempted",), "was pre-empted", message)
        _release(uow, claim, request, end, message=message, values=values)
        uow.commit()


def hand_back(
    store: Store,
    claim: Claim,
    *,
    message: str,
    requirements: Iterable[Requirement] | None = None,
) -> None:
    """Queues a job again that this worker has not the plugins for, after all.

    It waits for `MISMATCH_DELAY_SECONDS`: by then this worker has recorded its present plugins.

    Args:
        store: where the job is.
        claim: the claim that holds it.
        message: why, for the event.
        requirements: what it turned out to require; None if that was known.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        request = fence(uow, claim)
        values: dict[str, Any] = {"available_at": db_now(MISMATCH_DELAY_SECONDS)}
        if requirements is not None:
            values["requirements"] = keep_requirements(uow, requirements, claim.needs)
        end = _release(uow, claim, request, State.QUEUED, message=message, values=values)
        close_attempt(uow, claim.job_id, claim.attempt, end=end)
        uow.commit()


def _receipt(uow: UnitOfWork, claim: Claim, *, given_back: float) -> str:
    """What giving up its place has cost a job, in words, once its attempt is closed."""
    step, kept, preempted_for = uow.session.execute(
        select(Job.step, Attempt.checkpoint_step, Job.preempted_for)
        .join(Attempt, Attempt.job_id == Job.id)
        .where(Job.id == claim.job_id, Attempt.number == claim.attempt)
    ).one()
    this = update(Attempt).where(Attempt.job_id == claim.job_id, Attempt.number == claim.attempt)
    uow.execute(this.values(preempted_for=preempted_for))
    lost = max(0, step - (kept or 0))
    to = "is reserved" if preempted_for is None else f"goes to urgent job {preempted_for}"
    return (
        f"its place {to}; {counted(lost, 'step')} lost, "
        f"{given_back:.1f} s of device time given back, its place in the queue kept"
    )


def _final_state(end: State, request: Request) -> State:
    """Where a job really goes: what people asked for at the last moment is not lost."""
    if end in {State.QUEUED, State.PAUSED} and request is Request.CANCEL:
        return State.CANCELLED
    if end is State.QUEUED and request is Request.PAUSE:
        return State.PAUSED
    return end


def _release(
    uow: UnitOfWork,
    claim: Claim,
    request: Request,
    end: State,
    *,
    message: str,
    values: dict[str, Any],
) -> State:
    """Moves the job, and returns where to: what people asked for meanwhile comes first."""
    wished = _final_state(end, request)
    if wished is not end:
        end, message = wished, f"{message}; {wished} as asked"
    if end is State.QUEUED and request is Request.YIELD:
        values["queued_at"] = db_now()  # it makes room: everybody who waits comes first
    move(
        uow,
        claim.job_id,
        State.RUNNING,
        end,
        actor=claim.worker_name,
        message=message,
        only_if=held(claim),
        values=values,
    )
    return end
