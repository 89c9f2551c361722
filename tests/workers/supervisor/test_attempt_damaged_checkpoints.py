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
from worker_cluster import LONG

if TYPE_CHECKING:
    from versemill.jobs.views import JobView
    from worker_cluster import Cluster

pytestmark = pytest.mark.timeout(400)  # each waits long enough for a busy machine


def damage(cluster: Cluster, checkpoint_id: int) -> None:
    """Flips one bit; the tests of the job queue try every other damage."""
    chunk = CheckpointChunk.checkpoint_id == checkpoint_id
    with cluster.store.unit_of_work() as uow:
        data = uow.scalar(select(CheckpointChunk.data).where(chunk))
        assert data is not None
        damaged_store = data[:-1] + bytes([data[-1] ^ 1])
        uow.execute(update(CheckpointChunk).where(chunk).values(data=damaged_store))
        uow.commit()


def paused(cluster: Cluster) -> tuple[JobView, list[checkpoints.CheckpointRow]]:
    """A job paused with two checkpoints, in the order in which they are tried."""
    job = cluster.submit(**LONG)
    cluster.start_worker()
    cluster.until_checkpoint(job)
    service.request_pause(cluster.store, job.id, ANN)
    job = cluster.until_state(job, "paused")
    rows = checkpoints.resumable_checkpoints(cluster.store, job.id)
    assert [(row.is_last, row.is_best) for row in rows] == [(True, False), (False, True)]
    assert rows[0].step == job.step
    return job, rows


def assert_whole_curve(cluster: Cluster, job: JobView) -> None:
    """Every epoch once, from the first to the one in which the job ended."""
    epochs = [point.epoch for point in service.curve(cluster.store, job.id)]
    assert epochs == list(range(1, job.epoch + 1))


def test_with_a_damaged_last_checkpoint_the_job_resumes_from_the_best(
    sqlite_cluster: Cluster,
) -> None:
    job, (last, best) = paused(sqlite_cluster)
    damage(sqlite_cluster, last.id)
    service.resume(sqlite_cluster.store, job.id, ANN)
    job = sqlite_cluster.until_state(job, "succeeded")
    message = sqlite_cluster.messages(job)
    fallen = next(m for m in message if "looking for an older one" in m)
    assert fallen.startswith(f"checkpoint {last.id} (step {last.step:,}) is damaged: ")
    resumed = f"resumed from step {best.step:,}"
    assert any(m.startswith(resumed) for m in message[message.index(fallen) :])
    assert_whole_curve(sqlite_cluster, job)


def test_a_job_whose_checkpoints_are_all_damaged_starts_from_scratch(
    sqlite_cluster: Cluster,
) -> None:
    job, rows = paused(sqlite_cluster)
    for row in rows:
        damage(sqlite_cluster, row.id)
    service.resume(sqlite_cluster.store, job.id, ANN)
    job = sqlite_cluster.until_state(job, "succeeded")
    message = sqlite_cluster.messages(job)
    for row in rows:
        assert any(m.startswith(f"checkpoint {row.id} ") and "damaged" in m for m in message)
    assert any(m.startswith("from the beginning; ") for m in message)
    assert_whole_curve(sqlite_cluster, job)


def test_a_checkpoint_that_was_stored_damaged_is_discarded(sqlite_cluster: Cluster) -> None:
    """Its chunks have the checksums of what was stored; the file in them is no checkpoint."""
    job, (last, best) = paused(sqlite_cluster)
    chunk = CheckpointChunk.checkpoint_id == last.id
    with sqlite_cluster.store.unit_of_work() as uow:
        data = uow.scalar(select(CheckpointChunk.data).where(chunk))
        assert data is not None
        damaged_store = data[:-1] + bytes([data[-1] ^ 1])
        digest = hashlib.sha256(damaged_store).hexdigest()
        uow.execute(update(CheckpointChunk).where(chunk).values(data=damaged_store, sha256=digest))
        uow.execute(
            update(StoredCheckpoint).where(StoredCheckpoint.id == last.id).values(sha256=digest)
        )
        uow.commit()
    service.resume(sqlite_cluster.store, job.id, ANN)
    job = sqlite_cluster.until_state(job, "succeeded")
    message = sqlite_cluster.messages(job)
    assert any(
        m.startswith(f"checkpoint {last.id} (step {last.step:,}) deleted: ") for m in message
    )
    assert any(m.startswith(f"resumed from step {best.step:,}") for m in message)
    assert_whole_curve(sqlite_cluster, job)
