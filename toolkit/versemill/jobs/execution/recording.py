"""What a running job yields: progress, figures, lyrics, output; and where it starts again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from versemill.jobs.execution.claims import fence
from versemill.jobs.execution.transitions import note
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Attempt, Job, LyricText, Metric, StoredCheckpoint
from versemill.plugins.requirements import at_least

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from versemill.jobs.execution.claims import Claim
    from versemill.jobs.states import Request
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork

OUTPUT_BYTES = 64 * 1024


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
    characters_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class LyricRow:
    """A text the model wrote after `prefix`."""

    step: int
    epoch: int
    prefix: str
    text: str
    seed: int
    decoder: str


def record(
    store: Store,
    claim: Claim,
    *,
    progress: ProgressRow | None = None,
    metrics: Sequence[MetricRow] = (),
    lyrics: Sequence[LyricRow] = (),
    remarks: Sequence[str] = (),
    output: str | None = None,
    provenance: Mapping[str, Any] | None = None,
    memory_used: int | None = None,
) -> Request:
    """Writes what training has yielded, in one transaction; writing it twice does no harm.

    (Only a remark is then there twice.)

    Args:
        store: where to.
        claim: the claim that holds the job.
        progress: where the job is now.
        metrics: figures of new reports.
        lyrics: texts of new reports.
        remarks: what else has happened; appended to the events.
        output: what the trainer has written so far, as a whole; the last 64 KiB are kept.
        provenance: with what it computes, JSON values.
        memory_used: most bytes of a GPU's memory that the trainer has taken.

    Returns:
        What people want of the job now.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        request = fence(uow, claim, **(_progress(progress) if progress else {}))
        attempt: dict[str, Any] = {}
        if progress is not None:
            attempt["last_step"] = progress.step
            attempt["first_step"] = func.coalesce(Attempt.first_step, 0)
        if output is not None:
            attempt["output"] = _tail(output)
        if provenance is not None:
            attempt["provenance"] = dict(provenance)
        if memory_used is not None:
            attempt["memory_used"] = memory_used
        if attempt:
            uow.execute(_this_attempt(claim).values(attempt))
        mine = {"job_id": claim.job_id, "attempt": claim.attempt}
        uow.put(Metric, [mine | asdict(row) for row in metrics], key=("job_id", "step"))
        for row in lyrics:
            uow.execute(_same_lyric(claim, row))
            uow.execute(insert(LyricText).values(**mine, **asdict(row)))
        for message in remarks:
            note(uow, claim.job_id, actor=claim.worker_name, message=message)
        uow.commit()
    return request


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
        reached, machine = uow.session.execute(
            select(Job.step, Job.machine).where(Job.id == job_id)
        ).one()
        for table in (Metric, LyricText):
            uow.execute(delete(table).where(table.job_id == job_id, table.epoch > epoch))
        later = (StoredCheckpoint.job_id == job_id, StoredCheckpoint.step > step)
        uow.execute(update(StoredCheckpoint).where(*later).values(is_last=False, is_final=False))
        uow.execute(delete(StoredCheckpoint).where(*later, StoredCheckpoint.is_best.is_(False)))
        figures = _newest_figures(uow, job_id)
        if checkpoint_id is None:
            figures["machine"] = None  # nothing binds it to a kind of machine any more
            if claim.accepted_by is None:  # nor to a version
                figures["requirements"] = keep_requirements(
                    uow, at_least(claim.plugins), claim.needs
                )
        fence(uow, claim, step=step, epoch=epoch, **figures)
        uow.execute(_this_attempt(claim).values(first_step=step, last_step=step))
        message = f"resumed from step {step:,}" if checkpoint_id else "from the beginning"
        if reached > step:
            message += f"; {reached - step:,} step{'s' * (reached - step > 1)} repeated"
        if checkpoint_id and claim.machine is not None and machine not in {None, claim.machine}:
            message += f"; inexactly: made on {machine}, goes on on {claim.machine}"
        note(uow, job_id, actor=claim.worker_name, message=message)
        uow.commit()


def remark(store: Store, claim: Claim, message: str) -> None:
    """Appends an event of the running job that changes nothing else.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        fence(uow, claim)
        note(uow, claim.job_id, actor=claim.worker_name, message=message)
        uow.commit()


def _progress(progress: ProgressRow) -> dict[str, object]:
    kept = {"seconds_left"}
    return {k: v for k, v in asdict(progress).items() if v is not None or k in kept}


def _tail(output: str) -> str:
    raw = output.encode("utf-8", "replace")
    return output if len(raw) <= OUTPUT_BYTES else raw[-OUTPUT_BYTES:].decode("utf-8", "ignore")


def _this_attempt(claim: Claim) -> Any:
    return update(Attempt).where(Attempt.job_id == claim.job_id, Attempt.number == claim.attempt)


def _same_lyric(claim: Claim, row: LyricRow) -> Any:
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
