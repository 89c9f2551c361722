"""Runs that end before their last epoch keep their best weights, and say why they ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from people import ANN
from versemill.errors import JobStateError
from versemill.jobs import service
from versemill.jobs.service import Timing
from worker_cluster import ENDLESS, SMALL, Cluster, command

if TYPE_CHECKING:
    from versemill.jobs.views import JobDetails

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]


def details(cluster: Cluster, job_id: int) -> JobDetails:
    return service.details(cluster.store, job_id)


def kinds(found: JobDetails) -> set[str]:
    return {kind for checkpoint in found.checkpoints for kind in checkpoint.kinds}


def test_a_time_limit_ends_a_job_as_its_last_step_would(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(timing=Timing(time_limit=3), **ENDLESS)
    sqlite_cluster.start_worker("--name", "attic")
    sqlite_cluster.until_state(job, "succeeded")
    found = details(sqlite_cluster, job.id)
    assert found.result is not None
    assert found.result["reason"] == "time limit of 3 s reached"
    assert found.result["stopped_early"]
    assert found.result["held_out"]["validation"]["perplexity"] > 1
    (attempt,) = found.attempts
    assert attempt.ended_at is not None
    assert (attempt.ended_at - attempt.started_at).total_seconds() >= 3
    assert found.events[-1].message == f"time limit of 3 s reached at step {found.job.step:,}"
    assert {"last", "final"} <= kinds(found)
    assert "ended      early: time limit of 3 s reached" in command(
        sqlite_cluster, "show", str(job.id)
    )


def test_a_time_limit_counts_all_attempts_and_can_be_raised(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(timing=Timing(time_limit=3600), **ENDLESS)
    sqlite_cluster.start_worker()
    sqlite_cluster.until_training(job)
    sqlite_cluster.until_checkpoint(job)
    command(sqlite_cluster, "pause", str(job.id))
    paused = sqlite_cluster.until_state(job, "paused")
    # Less than it has had, so that it ends where it is.
    command(sqlite_cluster, "resume", str(job.id), "--time-limit", "1s")
    ended = sqlite_cluster.until_state(job, "succeeded")
    with pytest.raises(JobStateError, match="has a time limit of 1 s") as caught:
        service.resume(sqlite_cluster.store, job.id, ANN)
    assert caught.value.reason == "time-limit"
    command(sqlite_cluster, "resume", str(job.id), "--time-limit", "1h")
    sqlite_cluster.until(lambda: sqlite_cluster.job(job).step > ended.step)
    first_steps = [attempt.first_step for attempt in details(sqlite_cluster, job.id).attempts]
    assert first_steps == [0, paused.step, ended.step]


def test_patience_is_told(sqlite_cluster: Cluster) -> None:
    worse: dict[str, Any] = {"training.learning_rate": 0.5, "training.patience": 2}
    job = sqlite_cluster.submit(**(SMALL | worse | {"training.epochs": 1000}))
    sqlite_cluster.start_worker()
    sqlite_cluster.until_state(job, "succeeded")
    message = details(sqlite_cluster, job.id).events[-1].message
    assert re.fullmatch(r"no improvement in 2 validations at step [\d,]+", message)


def test_a_run_that_diverges_keeps_its_best_weights(sqlite_cluster: Cluster) -> None:
    # Weights are multiplied by more and more at each step, until they are infinite.
    explodes: dict[str, Any] = {
        "training.optimizer": "adamw",
        "training.weight_decay": 1e4,
        "training.learning_rate": 1.0,
        "training.warmup_steps": 1000,
    }
    sqlite_cluster.environment["VERSEMILL_CHECKPOINT_SECONDS"] = "3600"
    job = sqlite_cluster.submit(**(SMALL | explodes | {"training.epochs": 100}))
    sqlite_cluster.start_worker()
    sqlite_cluster.until_state(job, "failed")
    found = details(sqlite_cluster, job.id)
    assert re.match(r"loss became (nan|inf) in epoch \d+ at step", str(found.job.error))
    assert kinds(found) == {"best"}
