"""Whole workers that sweep: jobs of dead ones, twice at once, and checkpoints above the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import checkpoints
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import StoredCheckpoint, Worker
from worker_cluster import ENDLESS, Cluster

if TYPE_CHECKING:
    from sqlalchemy.sql.base import Executable

pytestmark = pytest.mark.timeout(400)


def write(cluster: Cluster, statement: Executable) -> None:
    with cluster.store.unit_of_work() as uow:
        uow.execute(statement)
        uow.commit()


def test_of_two_workers_that_sweep_at_once_one_claims_the_job(cluster: Cluster) -> None:
    job = cluster.submit(**ENDLESS)
    killed = cluster.start_worker("--name", "killed")
    cluster.until_training(job)
    step = cluster.until_checkpoint(job)
    others = [cluster.start_worker("--name", name) for name in ("one", "two")]
    cluster.until(lambda: len(service.live_workers(cluster.store)) == 3)
    killed.kill()
    killed.wait()
    cluster.expire_lease(job)
    # As if they had been there for longer than a lease; before, they leave others' jobs alone.
    write(cluster, update(Worker).values(steady_since=db_now(-100)))
    cluster.until(lambda: any(m.startswith("resumed") for m in cluster.messages(job)))
    cluster.until_checkpoint(job, after=step)
    printed = service.details(cluster.store, job.id).events
    (lost,) = [event for event in printed if "worker killed was lost at step" in event.message]
    assert lost.actor in {"one (sweep)", "two (sweep)"}
    assert cluster.job(job).attempt == 2
    assert all(worker.poll() is None for worker in others)


def test_freed_checkpoints_are_in_the_log_and_in_the_events(sqlite_cluster: Cluster) -> None:
    sqlite_cluster.environment["VERSEMILL_CHECKPOINT_LIMIT_GB"] = "1"
    kept, going = sqlite_cluster.submit(**ENDLESS), sqlite_cluster.submit()
    sqlite_cluster.start_worker()
    sqlite_cluster.until_checkpoint(kept)
    service.request_cancel(sqlite_cluster.store, kept.id, ANN)
    going = sqlite_cluster.until_state(going, "succeeded")
    (best,) = [
        row for row in checkpoints.checkpoints(sqlite_cluster.store, going.id) if row.is_best
    ]
    # As if they were of real models.
    write(sqlite_cluster, update(StoredCheckpoint).values(size=600_000_000))
    sqlite_cluster.until(lambda: "over the limit of 1 GB" in sqlite_cluster.log())
    (line,) = [
        line for line in sqlite_cluster.log().splitlines() if f"job {going.id}: checkpoint" in line
    ]
    assert f"checkpoint of step {going.step:,} deleted, 600.0 MB freed" in line
    assert any("600.0 MB freed" in message for message in sqlite_cluster.messages(going))
    left = checkpoints.checkpoints(sqlite_cluster.store, going.id)
    assert [row.id for row in left] == [best.id]
