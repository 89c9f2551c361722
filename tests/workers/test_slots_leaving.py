"""Workers that are told to end from afar, jobs that make room, and frozen workers that thaw."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import checkpoints
from worker_stage import ENDLESS, Stage

pytestmark = pytest.mark.timeout(400)


def test_a_drained_worker_hands_over_and_ends(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    leaving = alone.start_worker("--name", "attic")
    alone.until_training(job)
    done = subprocess.run(
        [sys.executable, "-m", "versemill", "worker", "drain", "attic"],
        env=alone.environment | {"VERSEMILL_USER": "ann"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "drained attic\n"), done.stderr
    assert leaving.wait(60) == 0
    assert "told to end by ann" in alone.log()
    asked, done_so = service.details(alone.store, job.id).events[-2:]
    assert (asked.actor, asked.message) == ("ann", "drain of worker attic requested")
    assert done_so.message.endswith(", since worker attic ends")
    queued = alone.job(job)
    assert queued.state == "queued"
    (row,) = [r for r in checkpoints.checkpoints(alone.store, job.id) if r.is_last]
    assert row.step == queued.step


def test_nobody_of_that_name_is_a_clear_error(alone: Stage) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "versemill", "worker", "drain", "attik"],
        env=alone.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no live worker named 'attik'" in done.stderr


def test_a_job_that_yields_lets_those_go_first_that_wait(alone: Stage) -> None:
    long = alone.submit(**ENDLESS)
    alone.start_worker()
    alone.until_training(long)
    short = alone.submit()
    service.request_yield(alone.store, long.id, ANN)
    alone.until_state(short, "succeeded")
    alone.until_training(long)
    (first, second) = service.details(alone.store, long.id).attempts
    assert first.outcome == "yielded"
    assert second.first_step == first.last_step


def test_a_worker_thawed_before_anybody_swept_goes_on(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    worker = alone.start_worker()
    trainer = alone.until_training(job)
    alone.freeze(worker)
    alone.expire_lease(job)
    step = alone.job(job).step
    os.kill(worker.pid, signal.SIGCONT)
    alone.until(lambda: alone.job(job).step > step)
    assert alone.trainer() == trainer
    assert alone.job(job).attempt == 1
    alone.until(lambda: alone.job(job).state_shown == "running")  # it has renewed its lease
