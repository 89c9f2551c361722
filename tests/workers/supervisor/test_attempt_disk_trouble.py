"""No space left, at every place where a job writes. Nothing is lost, and the story says so.

A full disk is made by a limit on the size of files (RLIMIT_FSIZE) that is laid on one process
from outside: from then on its writes fail as they do on a full disk, with another error number.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import checkpoints
from worker_cluster import ENDLESS, LONG, Cluster, has_ended

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(400)


@contextmanager
def no_room(process: psutil.Process) -> Iterator[None]:
    """While the block lasts, the process can write no file beyond 100 bytes."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    yield
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with contextlib.suppress(ProcessLookupError):  # it may have been given up
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)


def has_said(cluster: Cluster, job: object, words: str) -> bool:
    return any(words in message for message in cluster.messages(job))  # type: ignore[arg-type]


def test_training_goes_on_without_a_checkpoint_until_there_is_room(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    with no_room(trainer):
        sqlite_cluster.until(
            lambda: has_said(sqlite_cluster, job, "File too large; training goes on")
        )
        step = sqlite_cluster.job(job).step
        sqlite_cluster.until(lambda: sqlite_cluster.job(job).step > step)
    sqlite_cluster.until_checkpoint(job, after=step)
    assert sqlite_cluster.trainer() == trainer
    assert sqlite_cluster.job(job).attempt == 1


def test_a_pause_waits_for_room(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    with no_room(trainer):
        service.request_pause(sqlite_cluster.store, job.id, ANN)
        sqlite_cluster.until(lambda: has_said(sqlite_cluster, job, "File too large; trying again"))
    paused = sqlite_cluster.until_state(job, "paused")
    (row,) = [r for r in checkpoints.checkpoints(sqlite_cluster.store, job.id) if r.is_last]
    assert row.step == paused.step


def test_a_pause_without_room_leaves_the_last_checkpoint(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    sqlite_cluster.until_checkpoint(job)
    with no_room(trainer):
        service.request_pause(sqlite_cluster.store, job.id, ANN)
        sqlite_cluster.until_state(job, "paused")
        assert "no checkpoint within 30 s, the last one stands" in sqlite_cluster.messages(job)[-1]
        assert has_ended(trainer)
    service.resume(sqlite_cluster.store, job.id, ANN)
    sqlite_cluster.until(lambda: has_said(sqlite_cluster, job, "resumed from step"))


def test_a_final_checkpoint_waits_for_room(sqlite_cluster: Cluster) -> None:
    sqlite_cluster.environment["VERSEMILL_CHECKPOINT_SECONDS"] = "600"
    job = sqlite_cluster.submit(**LONG)
    sqlite_cluster.start_worker()
    with no_room(sqlite_cluster.until_training(job)):
        sqlite_cluster.until(lambda: has_said(sqlite_cluster, job, "File too large; trying again"))
        assert sqlite_cluster.job(job).state == "running"
    assert sqlite_cluster.until_state(job, "succeeded").attempt == 1
    assert any(row.is_final for row in checkpoints.checkpoints(sqlite_cluster.store, job.id))


def test_a_database_without_room_is_waited_for(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    worker = sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    with no_room(psutil.Process(worker.pid)):
        step = sqlite_cluster.job(job).step
        sqlite_cluster.until(lambda: "job 1: database" in sqlite_cluster.log())
        assert trainer.is_running()
    sqlite_cluster.until(lambda: sqlite_cluster.job(job).step > step)
    sqlite_cluster.until_checkpoint(job, after=step)
    assert sqlite_cluster.trainer() == trainer
    assert sqlite_cluster.job(job).attempt == 1


def test_a_worker_without_room_hands_back_and_it_does_not_count(sqlite_cluster: Cluster) -> None:
    spool = sqlite_cluster.home / "spool"
    sqlite_cluster.start_worker("--name", "broken")
    sqlite_cluster.until_ready()
    shutil.rmtree(spool)
    spool.write_text("not a folder")
    jobs = [sqlite_cluster.submit() for _ in range(3)]
    sqlite_cluster.until(
        lambda: any(has_said(sqlite_cluster, job, "is in trouble") for job in jobs)
    )
    (job,) = [job for job in jobs if sqlite_cluster.job(job).attempt]
    sqlite_cluster.until(lambda: sqlite_cluster.job(job).state == "queued")
    assert sqlite_cluster.messages(job)[-1].endswith("; handed back")
    (attempt,) = service.details(sqlite_cluster.store, job.id).attempts
    assert attempt.failure is None
    spool.unlink()
    sqlite_cluster.start_worker("--name", "sound")
    for each in jobs:
        sqlite_cluster.until_state(each, "succeeded")
