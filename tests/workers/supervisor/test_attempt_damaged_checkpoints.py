"""Damaged checkpoints in the database: a job falls back to the one before, and says so."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import checkpoints
from versemill.jobs.storage.tables import CheckpointChunk, StoredCheckpoint
from worker_stage import LONG

if TYPE_CHECKING:
    from versemill.jobs.views import JobView
    from worker_stage import Stage

pytestmark = pytest.mark.timeout(400)  # each waits long enough for a busy machine


def damage(stage: Stage, checkpoint_id: int) -> None:
    """Flips one bit; the jobs floor's tests try every other damage."""
    chunk = CheckpointChunk.checkpoint_id == checkpoint_id
    with stage.store.unit_of_work() as uow:
        data = uow.scalar(select(CheckpointChunk.data).where(chunk))
        assert data is not None
        spoilt = data[:-1] + bytes([data[-1] ^ 1])
        uow.execute(update(CheckpointChunk).where(chunk).values(data=spoilt))
        uow.commit()


def paused(stage: Stage) -> tuple[JobView, list[checkpoints.CheckpointRow]]:
    """A job paused with two checkpoints, in the order in which they are tried."""
    job = stage.submit(**LONG)
    stage.start_worker()
    stage.until_checkpoint(job)
    service.request_pause(stage.store, job.id, ANN)
    job = stage.until_state(job, "paused")
    rows = checkpoints.resumable_checkpoints(stage.store, job.id)
    assert [(row.is_last, row.is_best) for row in rows] == [(True, False), (False, True)]
    assert rows[0].step == job.step
    return job, rows


def assert_whole_curve(stage: Stage, job: JobView) -> None:
    """Every epoch once, from the first to the one in which the job ended."""
    epochs = [point.epoch for point in service.curve(stage.store, job.id)]
    assert epochs == list(range(1, job.epoch + 1))


def test_a_damaged_last_checkpoint_costs_the_way_from_the_best(alone: Stage) -> None:
    job, (last, best) = paused(alone)
    damage(alone, last.id)
    service.resume(alone.store, job.id, ANN)
    job = alone.until_state(job, "succeeded")
    told = alone.messages(job)
    fallen = next(m for m in told if "looking for an older one" in m)
    assert fallen.startswith(f"checkpoint {last.id} (step {last.step:,}) is damaged: ")
    resumed = f"resumed from step {best.step:,}"
    assert any(m.startswith(resumed) for m in told[told.index(fallen) :])
    assert_whole_curve(alone, job)


def test_a_job_whose_checkpoints_are_all_damaged_begins_anew(alone: Stage) -> None:
    job, rows = paused(alone)
    for row in rows:
        damage(alone, row.id)
    service.resume(alone.store, job.id, ANN)
    job = alone.until_state(job, "succeeded")
    told = alone.messages(job)
    for row in rows:
        assert any(m.startswith(f"checkpoint {row.id} ") and "damaged" in m for m in told)
    assert any(m.startswith("from the beginning; ") for m in told)
    assert_whole_curve(alone, job)


def test_a_checkpoint_that_was_stored_spoilt_is_given_up(alone: Stage) -> None:
    """Its chunks have the checksums of what was stored; the file in them is no checkpoint."""
    job, (last, best) = paused(alone)
    chunk = CheckpointChunk.checkpoint_id == last.id
    with alone.store.unit_of_work() as uow:
        data = uow.scalar(select(CheckpointChunk.data).where(chunk))
        assert data is not None
        spoilt = data[:-1] + bytes([data[-1] ^ 1])
        digest = hashlib.sha256(spoilt).hexdigest()
        uow.execute(update(CheckpointChunk).where(chunk).values(data=spoilt, sha256=digest))
        uow.execute(
            update(StoredCheckpoint).where(StoredCheckpoint.id == last.id).values(sha256=digest)
        )
        uow.commit()
    service.resume(alone.store, job.id, ANN)
    job = alone.until_state(job, "succeeded")
    told = alone.messages(job)
    assert any(m.startswith(f"checkpoint {last.id} (step {last.step:,}) deleted: ") for m in told)
    assert any(m.startswith(f"resumed from step {best.step:,}") for m in told)
    assert_whole_curve(alone, job)
