"""Claims: take the next job, hold it by a lease, let it go.

Every transaction of a running job begins with one UPDATE that finds the job only while this
attempt holds it. If it finds nothing the attempt is fenced off: `FencedError`, nothing written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, or_, select, union_all, update

from versemill.errors import FencedError
from versemill.jobs.execution.transitions import close_attempt, move
from versemill.jobs.states import LEASE_SECONDS, FailureClass, Request, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import fitting, keep_requirements
from versemill.jobs.storage.tables import Attempt, Job, StoredRequirements, StoredText
from versemill.plugins.record import records_from_json
from versemill.plugins.requirements import from_json
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from versemill.jobs.execution.live_workers import WorkerRecord
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.requirements import OfferedPlugin, Requirement

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
        machine: the kind of machine that works on it (`KernelPlan.machine`); None if not known.
        requirements: what it requires of plugins.
        accepted_by: who has accepted that its plugins have changed; None if nobody has.
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
    machine: str | None
    requirements: tuple[Requirement, ...]
    accepted_by: str | None


def runnable(
    store: Store,
    *,
    machines: Collection[str] | None = None,
    plugins: tuple[OfferedPlugin, ...] | None = None,
    only: int | None = None,
) -> bool:
    """Whether a claim by such a machine with these plugins would probably find a job; cheap."""
    with store.reading() as session:
        return _next(session, machines, plugins, only) is not None


def claim(
    store: Store, worker: WorkerRecord, *, machine: str | None = None, only: int | None = None
) -> Claim | None:
    """Claims the job that has waited longest, and opens an attempt.

    Claims are serialised over all workers, so that order is decided by one at a time.

    Args:
        store: where the jobs are.
        worker: who claims. A job that needs plugins it has not, or not in a version that will do,
            is left to others; it may take any job while its plugins are not known.
        machine: the kind of machine the slot is (`KernelPlan.machine`). A job with a checkpoint
            made on another kind is left to workers of that kind, unless it may go on inexactly;
            None takes any job.
        only: this job or none.

    Returns:
        The claim, or None if nothing can be run now.
    """
    machines = None if machine is None else (machine,)
    plugins = worker.plugins
    if not runnable(
        store, machines=machines, plugins=plugins, only=only
    ):  # most polls end here, without the lock
        return None
    with store.unit_of_work() as uow:
        uow.lock("claims")
        while (job_id := _next(uow.session, machines, plugins, only)) is not None:
            # A person may cancel or pause it in between; then the next one is looked at.
            claimed = _take(uow, job_id, worker, machine)
            if claimed is not None:
                uow.commit()
                return claimed
    return None


def _next(
    session: Session,
    machines: Collection[str] | None,
    plugins: tuple[OfferedPlugin, ...] | None,
    only: int | None,
) -> int | None:
    """The job that has waited longest."""
    given: dict[str, Any] = {"fitting": fitting(session, plugins)}
    if machines is not None:
        given["machines"] = list(machines)
    if only is not None:
        given["only"] = only
    return session.scalar(_waiting_longest(frozenset(given)), given)


@cache
def _waiting_longest(given: frozenset[str]) -> Select[int]:
    """The best of the first jobs of each kind. Building it costs more than running it."""
    waits = Job.__table__.alias()
    waiting = select(waits.c.id).where(
        waits.c.state == State.QUEUED, waits.c.available_at <= db_now()
    )
    if "machines" in given:
        alike = waits.c.machine.in_(bindparam("machines", expanding=True))
        waiting = waiting.where(or_(waits.c.machine.is_(None), waits.c.inexact, alike))
    if "only" in given:
        waiting = waiting.where(waits.c.id == bindparam("only"))
    first = waiting.order_by(waits.c.queued_at, waits.c.id).limit(1)
    requirements = StoredRequirements.__table__
    of_one = (
        first.where(waits.c.requirements == requirements.c.digest)
        .correlate(requirements)
        .scalar_subquery()
    )
    of_each = select(of_one).where(requirements.c.digest.in_(bindparam("fitting", expanding=True)))
    of_none = select(first.where(waits.c.requirements.is_(None)).scalar_subquery())
    best = select(Job.id).where(Job.id.in_(union_all(of_each, of_none)))
    return best.order_by(Job.queued_at, Job.id).limit(1)


def _take(uow: UnitOfWork, job_id: int, worker: WorkerRecord, machine: str | None) -> Claim | None:
    taken = {
        "attempt": Job.attempt + 1,
        "worker_id": worker.id,
        "lease_until": db_now(LEASE_SECONDS),
    }
    message = f"claimed by worker {worker.name}"
    if not move(
        uow,
        job_id,
        State.QUEUED,
        State.RUNNING,
        actor=worker.name,
        message=message,
        values=taken,
    ):
        return None
    columns = (Job.name, Job.attempt, Job.config, Job.plugins, Job.content_hash)
    found = uow.session.execute(
        select(*columns, Job.inexact, Job.accepted_by, StoredRequirements.requirements)
        .outerjoin(StoredRequirements, StoredRequirements.digest == Job.requirements)
        .where(Job.id == job_id)
    ).one()
    mine = {"worker_id": worker.id, "worker_name": worker.name}
    uow.execute(insert(Attempt).values(job_id=job_id, number=found.attempt, **mine))
    return Claim(
        job_id=job_id,
        job_name=found.name,
        attempt=found.attempt,
        worker_id=worker.id,
        worker_name=worker.name,
        config=found.config,
        plugins=records_from_json(found.plugins),
        content_hash=found.content_hash,
        inexact=found.inexact,
        machine=machine,
        requirements=from_json(found.requirements or ()),
        accepted_by=found.accepted_by,
    )


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
    statement = update(Job).where(*held(claim)).values(changed).returning(Job.request)
    found = uow.execute(statement).scalar_one_or_none()
    if found is None:
        raise fenced(claim)
    return Request(found)


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
        request = session.scalar(select(Job.request).where(*held(claim)))
    if request is None:
        raise fenced(claim)
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
    with store.unit_of_work() as uow:
        values: dict[str, Any] = {"error": error}
        if result is not None:
            values["result"] = result
        request = fence(uow, claim)
        end = _release(uow, claim, request, end, message=message, values=values)
        close_attempt(uow, claim.job_id, claim.attempt, end=end, failure=failure, exit=exit)
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
            values["requirements"] = keep_requirements(uow, requirements)
        end = _release(uow, claim, request, State.QUEUED, message=message, values=values)
        close_attempt(uow, claim.job_id, claim.attempt, end=end)
        uow.commit()


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
    # What people asked for at the last moment is not lost with the move that clears it.
    if end in {State.QUEUED, State.PAUSED} and request is Request.CANCEL:
        end, message = State.CANCELLED, f"{message}; cancelled as asked"
    elif end is State.QUEUED and request is Request.PAUSE:
        end, message = State.PAUSED, f"{message}; paused as asked"
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
