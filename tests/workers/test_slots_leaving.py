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
from worker_cluster import ENDLESS, Cluster

pytestmark = pytest.mark.timeout(400)


def test_a_drained_worker_hands_over_and_ends(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    leaving = sqlite_cluster.start_worker("--name", "attic")
    sqlite_cluster.until_training(job)
    done = subprocess.run(
        [sys.executable, "-m", "versemill", "worker", "drain", "attic"],
        env=sqlite_cluster.environment | {"VERSEMILL_USER": "ann"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "drained attic\n"), done.stderr
    assert leaving.wait(60) == 0
    assert "told to end by ann" in sqlite_cluster.log()
    asked, done_so = service.details(sqlite_cluster.store, job.id).events[-2:]
    assert (asked.actor, asked.message) == ("ann", "drain of worker attic requested")
    assert done_so.message.endswith(", since worker attic ends")
    queued = sqlite_cluster.job(job)
    assert queued.state == "queued"
    (row,) = [r for r in checkpoints.checkpoints(sqlite_cluster.store, job.id) if r.is_last]
    assert row.step == queued.step


def test_draining_an_unknown_worker_is_a_clear_error(sqlite_cluster: Cluster) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "versemill", "worker", "drain", "attik"],
        env=sqlite_cluster.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no live worker named 'attik'" in done.stderr


def test_a_job_that_yields_lets_those_go_first_that_wait(sqlite_cluster: Cluster) -> None:
    long = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    sqlite_cluster.until_training(long)
    short = sqlite_cluster.submit()
    service.request_yield(sqlite_cluster.store, long.id, ANN)
    sqlite_cluster.until_state(short, "succeeded")
    sqlite_cluster.until_training(long)
    (first, second) = service.details(sqlite_cluster.store, long.id).attempts
    assert first.outcome == "yielded"
    assert second.first_step == first.last_step


def test_a_worker_continued_before_a_sweep_goes_on(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    worker = sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    sqlite_cluster.freeze(worker)
    sqlite_cluster.expire_lease(job)
    step = sqlite_cluster.job(job).step
    os.kill(worker.pid, signal.SIGCONT)
    sqlite_cluster.until(lambda: sqlite_cluster.job(job).step > step)
    assert sqlite_cluster.trainer() == trainer
    assert sqlite_cluster.job(job).attempt == 1
    sqlite_cluster.until(
        lambda: sqlite_cluster.job(job).state_shown == "running"
    )  # it has renewed its lease
