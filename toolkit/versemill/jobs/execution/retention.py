"""Which checkpoints go when those of all jobs together have become too large.

A job keeps its last, best and final checkpoint. Where that is too much for the disk, people set a
limit for the whole installation, and checkpoints of ended jobs go, of the longest ended first:
first those of succeeded jobs but the best, then those of cancelled and failed jobs. A job that
can still run loses nothing, and a succeeded one keeps the weights it was trained for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from versemill.jobs.execution.transitions import note
from versemill.jobs.states import State
from versemill.jobs.storage.tables import Job, StoredCheckpoint

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row

    from versemill.jobs.storage.unit_of_work import Store

_ENDED = [state for state in State if state.ended]


def free_checkpoints(store: Store, limit: int) -> list[str]:
    """Deletes checkpoints until all take at most `limit` bytes, as far as any may go.

    Any number of workers may do it at once.

    Returns:
        What was freed, one line each, for the log; each is an event of its job, too.
    """
    if (total := checkpoint_bytes(store)) <= limit:
        return []
    with store.reading() as session:
        query = select(StoredCheckpoint.id, Job.id.label("job_id"), StoredCheckpoint.size)
        query = query.join(Job, Job.id == StoredCheckpoint.job_id).where(_may_go())
        dispensable = session.execute(query.order_by(*_order())).all()
    freed = []
    for row in dispensable:
        if total > limit and (message := _free(store, row, limit)) is not None:
            freed.append(f"job {row.job_id}: {message}")
            total -= row.size
    return freed


def checkpoint_bytes(store: Store) -> int:
    """Bytes of all checkpoints together."""
    with store.reading() as session:
        return int(session.scalar(select(func.coalesce(func.sum(StoredCheckpoint.size), 0))) or 0)


def _may_go() -> ColumnElement[bool]:
    best = aliased(StoredCheckpoint)
    kept = exists().where(
        best.job_id == StoredCheckpoint.job_id, best.is_best.is_(True), best.complete.is_(True)
    )
    beside_the_best = and_(Job.state == State.SUCCEEDED, StoredCheckpoint.is_best.is_(False), kept)
    return or_(beside_the_best, Job.state.in_([State.FAILED, State.CANCELLED]))


def _order() -> tuple[ColumnElement[Any], ...]:
    return (
        (Job.state != State.SUCCEEDED).asc(),
        Job.finished_at.asc(),
        StoredCheckpoint.is_best.asc(),
        StoredCheckpoint.id.asc(),
    )


def _free(store: Store, row: Row[int, int, int], limit: int) -> str | None:
    """Deletes one checkpoint, unless its job has been taken up again meanwhile."""
    with store.unit_of_work() as uow:
        still_ended = update(Job).where(Job.id == row.job_id, Job.state.in_(_ENDED))
        if uow.execute(still_ended.values(step=Job.step).returning(Job.id)).first() is None:
            return None
        gone = delete(StoredCheckpoint).where(StoredCheckpoint.id == row.id)
        step = uow.execute(gone.returning(StoredCheckpoint.step)).scalar_one_or_none()
        if step is None:
            return None
        message = (
            f"checkpoint of step {step:,} deleted, {row.size / 1e6:.1f} MB freed: all checkpoints "
            f"together were over the limit of {limit / 1e9:g} GB"
        )
        note(uow, row.job_id, actor="retention", message=message)
        uow.commit()
    return message
