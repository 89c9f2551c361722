"""The worker's side: claim a job, hold it by a lease, write what it yields, let it go.

Every transaction of a running job begins with one UPDATE that finds the job only while this
attempt holds it. If it finds nothing the attempt is fenced off: `FencedError`, nothing written.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from versemill.contracts import Text
from versemill.errors import FencedError
from versemill.jobs.columns import db_now
from versemill.jobs.states import FailureClass, Request, State
from versemill.jobs.tables import (
    Attempt,
    Job,
    LyricText,
    Metric,
    StoredCheckpoint,
    StoredText,
    Worker,
)
from versemill.jobs.transitions import close_attempt, move, note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from versemill.jobs.store import Store, UnitOfWork

LEASE_SECONDS = 30.0
RENEW_SECONDS = 10.0
OUTPUT_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker process, as registered.

    Attributes:
        id: UUID of this process start.
        name: a label for people; may be shared or used again.
        slots: jobs it works on at a time.
    """

    id: str
    name: str
    host: str
    pid: int
    slots: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A job held by one attempt of one worker.

    Attributes:
        attempt: number of this attempt, from 1.
        config: the job's configuration as JSON values.
        plugins: records of the plugins it was submitted with.
        content_hash: of its text; see `load_text`.
        inexact: whether it may go on although this machine computes in another way.
    """

    job_id: int
    job_name: str
    attempt: int
    worker_id: str
    worker_name: str
    config: dict[str, Any]
    plugins: list[dict[str, Any]]
    content_hash: str
    inexact: bool


@dataclass(frozen=True, kw_only=True)
class ProgressRow:
    """Where a job is. A None leaves the figure as it was, except for `seconds_left`."""

    step: int
    epoch: int
    train_perplexity: float | None = None
    valid_perplexity: float | None = None
    characters_per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """The figures of one report."""

    step: int
    epoch: int
    train_perplexity: float
    valid_perplexity: float | None
    characters_per_second: float


@dataclass(frozen=True, kw_only=True)
class LyricRow:
    """A text the model wrote after `prefix`."""

    step: int
    epoch: int
    prefix: str
    text: str
    seed: int
    decoder: str


def register_worker(store: Store, name: str, slots: int, *, version: str = "") -> WorkerRecord:
    """Announces this process under a new id."""
    worker = WorkerRecord(
        id=str(uuid.uuid4()),
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        slots=slots,
        version=version,
    )
    beat(store, worker)
    return worker


def beat(store: Store, worker: WorkerRecord) -> None:
    """Says that the worker is alive; announces it again if it was given up meanwhile."""
    gap = Worker.seen_at < db_now(-LEASE_SECONDS)
    with store.unit_of_work() as uow:
        if not uow.insert_if_absent(Worker, asdict(worker), key="id"):
            alive = update(Worker).where(Worker.id == worker.id)
            uow.execute(alive.where(gap).values(steady_since=db_now()))
            uow.execute(alive.values(seen_at=db_now()))
        uow.commit()


def forget_worker(store: Store, worker: WorkerRecord) -> None:
    """Takes the worker off the list as it ends."""
    with store.unit_of_work() as uow:
        uow.execute(delete(Worker).where(Worker.id == worker.id))
        uow.commit()


def runnable(store: Store, *, only: int | None = None) -> bool:
    """Whether a claim would probably find a job; a cheap read for pollers."""
    with store.reading() as session:
        return _next(session, only) is not None


def claim(store: Store, worker: WorkerRecord, *, only: int | None = None) -> Claim | None:
    """Claims the job that has waited longest, and opens an attempt.

    Claims are serialised over all workers, so that order is decided by one at a time.

    Args:
        store: where the jobs are.
        worker: who claims.
        only: this job or none.

    Returns:
        The claim, or None if nothing can be run now.
    """
    if not runnable(store, only=only):  # most polls end here, without the lock
        return None
    with store.unit_of_work() as uow:
        uow.lock("claims")
        while (job_id := _next(uow.session, only)) is not None:
            # A person may cancel or pause it in between; then the next one is looked at.
            claimed = _take(uow, job_id, worker)
            if claimed is not None:
                uow.commit()
                return claimed
    return None


def _next(session: Session, only: int | None) -> int | None:
    waiting = select(Job.id).where(Job.state == State.QUEUED, Job.available_at <= db_now())
    if only is not None:
        waiting = waiting.where(Job.id == only)
    return session.scalar(waiting.order_by(Job.queued_at, Job.id).limit(1))


def _take(uow: UnitOfWork, job_id: int, worker: WorkerRecord) -> Claim | None:
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
    columns = (Job.name, Job.attempt, Job.config, Job.plugins, Job.content_hash, Job.inexact)
    name, attempt, config, plugins, content_hash, inexact = uow.session.execute(
        select(*columns).where(Job.id == job_id)
    ).one()
    uow.execute(
        insert(Attempt).values(
            job_id=job_id, number=attempt, worker_id=worker.id, worker_name=worker.name
        )
    )
    return Claim(
        job_id=job_id,
        job_name=name,
        attempt=attempt,
        worker_id=worker.id,
        worker_name=worker.name,
        config=config,
        plugins=plugins,
        content_hash=content_hash,
        inexact=inexact,
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


def peek_request(store: Store, claim: Claim) -> Request:
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


def record(
    store: Store,
    claim: Claim,
    *,
    progress: ProgressRow | None = None,
    metrics: Sequence[MetricRow] = (),
    lyrics: Sequence[LyricRow] = (),
    output: str | None = None,
) -> None:
    """Writes what training has yielded, in one transaction; writing it twice does no harm.

    Args:
        store: where to.
        claim: the claim that holds the job.
        progress: where the job is now.
        metrics: figures of new reports.
        lyrics: texts of new reports.
        output: what the trainer has written so far, as a whole; the last 64 KiB are kept.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        fence(uow, claim, **(_progress(progress) if progress else {}))
        attempt: dict[str, Any] = {}
        if progress is not None:
            attempt["last_step"] = progress.step
            attempt["first_step"] = func.coalesce(Attempt.first_step, 0)
        if output is not None:
            attempt["output"] = _tail(output)
        if attempt:
            uow.execute(_this_attempt(claim).values(attempt))
        mine = {"job_id": claim.job_id, "attempt": claim.attempt}
        uow.put(Metric, [mine | asdict(row) for row in metrics], key=("job_id", "step"))
        for row in lyrics:
            uow.execute(_same_lyric(claim, row))
            uow.execute(insert(LyricText).values(**mine, **asdict(row)))
        uow.commit()


def rewind(
    store: Store, claim: Claim, *, epoch: int, step: int, checkpoint_id: int | None = None
) -> None:
    """Makes the record end where training resumes, so that a curve has no overlaps.

    Call it once the checkpoint is verified and before the trainer starts. Reports of later
    epochs go; a later best checkpoint stays (it is still the best there was), later last and
    final ones do not.

    Args:
        store: where the record is.
        claim: the claim that holds the job.
        epoch: epochs already reported in the state to resume from; 0 from the beginning.
        step: its step; 0 from the beginning.
        checkpoint_id: the checkpoint, if any.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    job_id = claim.job_id
    with store.unit_of_work() as uow:
        fence(uow, claim)
        reached = uow.scalar(select(Job.step).where(Job.id == job_id)) or 0
        for table in (Metric, LyricText):
            uow.execute(delete(table).where(table.job_id == job_id, table.epoch > epoch))
        later = (StoredCheckpoint.job_id == job_id, StoredCheckpoint.step > step)
        uow.execute(update(StoredCheckpoint).where(*later).values(is_last=False, is_final=False))
        uow.execute(delete(StoredCheckpoint).where(*later, StoredCheckpoint.is_best.is_(False)))
        fence(uow, claim, step=step, epoch=epoch, **_newest_figures(uow, job_id))
        uow.execute(_this_attempt(claim).values(first_step=step, last_step=step))
        again = f"; {reached - step} steps to repeat" if reached > step else ""
        start = "from the beginning" if checkpoint_id is None else f"resumed from step {step}"
        note(uow, job_id, actor=claim.worker_name, message=start + again)
        uow.commit()


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
        fence(uow, claim)
        values: dict[str, Any] = {"error": error}
        if result is not None:
            values["result"] = result
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
        close_attempt(uow, claim.job_id, claim.attempt, end=end, failure=failure, exit=exit)
        uow.commit()


def _progress(progress: ProgressRow) -> dict[str, object]:
    kept = {"seconds_left"}
    return {k: v for k, v in asdict(progress).items() if v is not None or k in kept}


def _tail(output: str) -> str:
    raw = output.encode("utf-8", "replace")
    return output if len(raw) <= OUTPUT_BYTES else raw[-OUTPUT_BYTES:].decode("utf-8", "ignore")


def _this_attempt(claim: Claim) -> Any:  # noqa: ANN401 - an UPDATE, whose type says nothing
    return update(Attempt).where(Attempt.job_id == claim.job_id, Attempt.number == claim.attempt)


def _same_lyric(claim: Claim, row: LyricRow) -> Any:  # noqa: ANN401 - a DELETE, likewise
    return delete(LyricText).where(
        LyricText.job_id == claim.job_id,
        LyricText.step == row.step,
        LyricText.prefix == row.prefix,
        LyricText.seed == row.seed,
        LyricText.decoder == row.decoder,
    )


def _newest_figures(uow: UnitOfWork, job_id: int) -> dict[str, object]:
    """The job's perplexities as its last remaining reports have them."""
    reports = select(Metric.train_perplexity, Metric.valid_perplexity).where(
        Metric.job_id == job_id
    )
    newest = reports.order_by(Metric.step.desc()).limit(1)
    train = uow.session.execute(newest).first()
    valid = uow.session.execute(newest.where(Metric.valid_perplexity.is_not(None))).first()
    return {
        "train_perplexity": train[0] if train else None,
        "valid_perplexity": valid[1] if valid else None,
        "seconds_left": None,
    }
