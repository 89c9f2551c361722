"""Checkpoints as rows: staged in chunks, complete at once, verified when read.

Each chunk is a short transaction of its own, so that a large checkpoint never holds the
database. Kept: the last, the best and the final one of a job.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, or_, select, update

from versemill.errors import CheckpointError
from versemill.jobs.execution.claims import fence
from versemill.jobs.execution.transitions import note
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Attempt, CheckpointChunk, Job, StoredCheckpoint
from versemill.phrases import counted
from versemill.plugins.requirements import exactly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from versemill.jobs.execution.claims import Claim
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.plugins.record import PluginRecord

CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class CheckpointRow:
    """A complete checkpoint.

    Attributes:
        epoch: epochs reported so far.
        size: bytes.
        sha256: of all bytes.
    """

    id: int
    job_id: int
    attempt: int
    step: int
    epoch: int
    is_last: bool
    is_best: bool
    is_final: bool
    size: int
    sha256: str
    created_at: datetime


def begin_checkpoint(
    store: Store,
    claim: Claim,
    *,
    step: int,
    epoch: int,
    size: int,
    is_last: bool = False,
    is_best: bool = False,
    is_final: bool = False,
) -> int:
    """Announces a checkpoint of `size` bytes; nobody reads it before it is complete.

    Returns:
        Its id, for `add_chunk` and `complete_checkpoint`.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        fence(uow, claim)
        statement = insert(StoredCheckpoint).values(
            job_id=claim.job_id,
            attempt=claim.attempt,
            step=step,
            epoch=epoch,
            is_last=is_last,
            is_best=is_best,
            is_final=is_final,
            size=size,
        )
        number = uow.execute(statement.returning(StoredCheckpoint.id)).scalar_one()
        uow.commit()
    return int(number)


def add_chunk(store: Store, claim: Claim, checkpoint_id: int, number: int, data: bytes) -> None:
    """Stores the chunk `number` (from 0) of at most `CHUNK_BYTES`; storing it twice is harmless.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
        CheckpointError: this attempt has no such checkpoint in the making.
    """
    digest = hashlib.sha256(data).hexdigest()
    row = {"checkpoint_id": checkpoint_id, "number": number, "data": data, "sha256": digest}
    with store.unit_of_work(bulk=True) as uow:
        fence(uow, claim)
        _require_staged(uow, claim, checkpoint_id)
        uow.put(CheckpointChunk, [row], key=("checkpoint_id", "number"))
        uow.commit()


def complete_checkpoint(
    store: Store,
    claim: Claim,
    checkpoint_id: int,
    sha256: str,
    made_with: Sequence[PluginRecord] = (),
) -> None:
    """Makes a checkpoint count, takes its flags from older ones and deletes those without any.

    From then on its job requires the very plugins that it was made with. Twice is harmless.

    Args:
        store: where it is.
        claim: the attempt that made it.
        checkpoint_id: which.
        sha256: of all its bytes.
        made_with: records of its plugins; empty if they are not known.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
        CheckpointError: bytes are missing, or this attempt has no such checkpoint in the making.
    """
    with store.unit_of_work(bulk=True) as uow:
        fence(uow, claim)
        known = uow.session.get(StoredCheckpoint, checkpoint_id)
        if known is not None and known.complete and known.sha256 == sha256:
            return  # the commit before was not heard of, yet it was made
        new = _require_staged(uow, claim, checkpoint_id)
        _require_whole(uow, new)
        new.sha256 = sha256
        new.complete = True
        uow.session.flush()
        others = (
            StoredCheckpoint.job_id == claim.job_id,
            StoredCheckpoint.id != checkpoint_id,
            StoredCheckpoint.complete.is_(True),
        )
        taken = [name for name in ("is_last", "is_best", "is_final") if getattr(new, name)]
        if taken:
            cleared = dict.fromkeys(taken, False)
            uow.execute(update(StoredCheckpoint).where(*others).values(cleared))
        uow.execute(delete(StoredCheckpoint).where(*others, *_unflagged()))
        _bind(uow, claim, made_with)
        uow.execute(
            update(Attempt)
            .where(Attempt.job_id == claim.job_id, Attempt.number == claim.attempt)
            .where(func.coalesce(Attempt.checkpoint_step, -1) < new.step)
            .values(checkpoint_step=new.step)
        )
        uow.commit()


def _bind(uow: UnitOfWork, claim: Claim, made_with: Sequence[PluginRecord]) -> None:
    """The job goes on where it goes on as it would have from here."""
    values: dict[str, Any] = {}
    if claim.machine is not None:
        values["machine"] = claim.machine
    if made_with:
        required = keep_requirements(uow, exactly(made_with, claim.plugins), claim.needs)
        values |= {"requirements": required, "accepted_by": None}
    if values:
        uow.execute(update(Job).where(Job.id == claim.job_id).values(values))


def discard_checkpoint(store: Store, claim: Claim, checkpoint_id: int, why: str) -> None:
    """Deletes a checkpoint that cannot be gone on from, and says so.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        fence(uow, claim)
        damaged = delete(StoredCheckpoint).where(
            StoredCheckpoint.id == checkpoint_id, StoredCheckpoint.job_id == claim.job_id
        )
        step = uow.execute(damaged.returning(StoredCheckpoint.step)).scalar_one_or_none()
        if step is not None:
            message = f"{_name(checkpoint_id, step)} deleted: {why}"
            note(uow, claim.job_id, actor=claim.worker_name, message=message)
        uow.commit()


def latest_checkpoint(store: Store, job_id: int) -> CheckpointRow | None:
    """The checkpoint to resume from: the first of `resumable_checkpoints`."""
    return next(iter(resumable_checkpoints(store, job_id)), None)


def resumable_checkpoints(store: Store, job_id: int) -> list[CheckpointRow]:
    """Complete checkpoints in the order to resume from: last and final ones first, newest first.

    A best one comes after them even if it is newer: it is taken when nothing else is whole.
    """
    on_curve = or_(StoredCheckpoint.is_last, StoredCheckpoint.is_final)
    chosen = _complete(job_id).order_by(
        on_curve.desc(), StoredCheckpoint.step.desc(), StoredCheckpoint.id.desc()
    )
    with store.reading() as session:
        return [_row(found) for found in session.scalars(chosen)]


def checkpoints(store: Store, job_id: int) -> list[CheckpointRow]:
    """A job's complete checkpoints, by step."""
    chosen = _complete(job_id).order_by(StoredCheckpoint.step, StoredCheckpoint.id)
    with store.reading() as session:
        return [_row(found) for found in session.scalars(chosen)]


def read_checkpoint(store: Store, checkpoint_id: int) -> Iterator[bytes]:
    """Yields a checkpoint's chunks, each verified; the whole is verified after the last.

    Do not use what was read before the iterator has ended without an error.

    Raises:
        CheckpointError: it is gone, incomplete or damaged.
    """
    with store.reading() as session:
        found = session.get(StoredCheckpoint, checkpoint_id)
        if found is None or not found.complete:
            raise CheckpointError(
                f"checkpoint {checkpoint_id} is gone: a newer one has replaced it; try again"
            )
        size, sha256, step = found.size, found.sha256, found.step
    whole = hashlib.sha256()
    for number in range(_chunks(size)):
        data = _read_chunk(store, checkpoint_id, number, step)
        whole.update(data)
        yield data
    if whole.hexdigest() != sha256:
        raise CheckpointError(f"{_name(checkpoint_id, step)} is damaged: its checksum differs")


def _read_chunk(store: Store, checkpoint_id: int, number: int, step: int) -> bytes:
    with store.reading() as session:
        chunk = session.get(CheckpointChunk, (checkpoint_id, number))
    name = _name(checkpoint_id, step)
    if chunk is None:
        raise CheckpointError(f"{name} is damaged: its chunk {number} is missing")
    if hashlib.sha256(chunk.data).hexdigest() != chunk.sha256:
        raise CheckpointError(f"{name} is damaged: the checksum of its chunk {number} differs")
    return chunk.data


def _require_staged(uow: UnitOfWork, claim: Claim, checkpoint_id: int) -> StoredCheckpoint:
    mine = select(StoredCheckpoint).where(
        StoredCheckpoint.id == checkpoint_id,
        StoredCheckpoint.job_id == claim.job_id,
        StoredCheckpoint.attempt == claim.attempt,
        StoredCheckpoint.complete.is_(False),
    )
    found = uow.session.scalar(mine)
    if found is None:
        raise CheckpointError(
            f"attempt {claim.attempt} of job {claim.job_id} has no checkpoint {checkpoint_id} "
            "in the making"
        )
    return found


def _require_whole(uow: UnitOfWork, staged: StoredCheckpoint) -> None:
    length = func.length(CheckpointChunk.data)  # of bytes: bytes, on both databases
    count, top, size = uow.session.execute(
        select(
            func.count(),
            func.coalesce(func.max(CheckpointChunk.number), -1),
            func.coalesce(func.sum(length), 0),
        ).where(CheckpointChunk.checkpoint_id == staged.id)
    ).one()
    if (count, top + 1, size) != (_chunks(staged.size), _chunks(staged.size), staged.size):
        raise CheckpointError(
            f"{_name(staged.id, staged.step)} is incomplete: "
            f"{size} of {counted(staged.size, 'byte')} in {counted(count, 'chunk')}"
        )


def _complete(job_id: int) -> Select[StoredCheckpoint]:
    return select(StoredCheckpoint).where(
        StoredCheckpoint.job_id == job_id, StoredCheckpoint.complete.is_(True)
    )


def _unflagged() -> tuple[ColumnElement[bool], ...]:
    return (
        StoredCheckpoint.is_last.is_(False),
        StoredCheckpoint.is_best.is_(False),
        StoredCheckpoint.is_final.is_(False),
    )


def _chunks(size: int) -> int:
    return -(-size // CHUNK_BYTES)


def _name(checkpoint_id: int, step: int) -> str:
    return f"checkpoint {checkpoint_id} (step {step:,})"


def _row(stored: StoredCheckpoint) -> CheckpointRow:
    return CheckpointRow(
        id=stored.id,
        job_id=stored.job_id,
        attempt=stored.attempt,
        step=stored.step,
        epoch=stored.epoch,
        is_last=stored.is_last,
        is_best=stored.is_best,
        is_final=stored.is_final,
        size=stored.size,
        sha256=stored.sha256 or "",
        created_at=stored.created_at,
    )
