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
from worker_stage import ENDLESS, LONG, Stage, has_ended

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


def has_said(stage: Stage, job: object, words: str) -> bool:
    return any(words in message for message in stage.messages(job))  # type: ignore[arg-type]


def test_training_goes_on_without_a_checkpoint_until_there_is_room(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    alone.start_worker()
    trainer = alone.until_training(job)
    with no_room(trainer):
        alone.until(lambda: has_said(alone, job, "File too large; training goes on"))
        step = alone.job(job).step
        alone.until(lambda: alone.job(job).step > step)
    alone.until_checkpoint(job, after=step)
    assert alone.trainer() == trainer
    assert alone.job(job).attempt == 1


def test_a_pause_waits_for_room(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    alone.start_worker()
    trainer = alone.until_training(job)
    with no_room(trainer):
        service.request_pause(alone.store, job.id, ANN)
        alone.until(lambda: has_said(alone, job, "File too large; trying again"))
    paused = alone.until_state(job, "paused")
    (row,) = [r for r in checkpoints.checkpoints(alone.store, job.id) if r.is_last]
    assert row.step == paused.step


def test_a_pause_without_room_leaves_the_last_checkpoint(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    alone.start_worker()
    trainer = alone.until_training(job)
    alone.until_checkpoint(job)
    with no_room(trainer):
        service.request_pause(alone.store, job.id, ANN)
        alone.until_state(job, "paused")
        assert "no checkpoint within 30 s, the last one stands" in alone.messages(job)[-1]
        assert has_ended(trainer)
    service.resume(alone.store, job.id, ANN)
    alone.until(lambda: has_said(alone, job, "resumed from step"))


def test_a_final_checkpoint_waits_for_room(alone: Stage) -> None:
    alone.environment["VERSEMILL_CHECKPOINT_SECONDS"] = "600"
    job = alone.submit(**LONG)
    alone.start_worker()
    with no_room(alone.until_training(job)):
        alone.until(lambda: has_said(alone, job, "File too large; trying again"))
        assert alone.job(job).state == "running"
    assert alone.until_state(job, "succeeded").attempt == 1
    assert any(row.is_final for row in checkpoints.checkpoints(alone.store, job.id))


def test_a_database_without_room_is_waited_for(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    worker = alone.start_worker()
    trainer = alone.until_training(job)
    with no_room(psutil.Process(worker.pid)):
        step = alone.job(job).step
        alone.until(lambda: "job 1: database" in alone.log())
        assert trainer.is_running()
    alone.until(lambda: alone.job(job).step > step)
    alone.until_checkpoint(job, after=step)
    assert alone.trainer() == trainer
    assert alone.job(job).attempt == 1


def test_a_worker_without_room_hands_back_and_it_does_not_count(alone: Stage) -> None:
    spool = alone.home / "spool"
    alone.start_worker("--name", "broken")
    alone.until_ready()
    shutil.rmtree(spool)
    spool.write_text("not a folder")
    jobs = [alone.submit() for _ in range(3)]
    alone.until(lambda: any(has_said(alone, job, "is in trouble") for job in jobs))
    (job,) = [job for job in jobs if alone.job(job).attempt]
    alone.until(lambda: alone.job(job).state == "queued")
    assert alone.messages(job)[-1].endswith("; handed back")
    (attempt,) = service.details(alone.store, job.id).attempts
    assert attempt.failure is None
    spool.unlink()
    alone.start_worker("--name", "sound")
    for each in jobs:
        alone.until_state(each, "succeeded")
