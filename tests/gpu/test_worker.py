"""Real workers and trainers on one CUDA device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from versemill.jobs import service
from worker_stage import ENDLESS, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from versemill.jobs.views import JobView

pytestmark = pytest.mark.gpu


@pytest.fixture
def alone(tmp_path: Path, sqlite_url: str) -> Iterator[Stage]:
    stage = Stage(tmp_path, sqlite_url)
    yield stage
    stage.close()


def machine(stage: Stage, job: JobView) -> str:
    return str(service.details(stage.store, job.id).machine)


def test_a_job_is_trained_on_it_paused_and_resumed(alone: Stage) -> None:
    job = alone.submit(training__epochs=400, training__report_every=400)
    alone.start_worker("--devices", "0")
    alone.until_training(job)
    alone.until_checkpoint(job)
    service.request_pause(alone.store, job.id, service.Principal("ann"))
    paused = alone.until_state(job, "paused")
    assert machine(alone, job).startswith("cuda ")
    service.resume(alone.store, job.id, service.Principal("ann"))
    done = alone.until_state(job, "succeeded")
    assert done.step > paused.step > 0


def test_two_jobs_share_it(alone: Stage) -> None:
    jobs = [alone.submit(**ENDLESS) for _ in range(2)]
    alone.start_worker("--devices", "0", "--slots", "2")
    for job in jobs:
        alone.until(lambda job=job: alone.job(job).state == "running" and alone.job(job).step > 0)
    assert [alone.job(job).state for job in jobs] == ["running", "running"]


def test_a_job_too_large_for_it_fails_and_the_worker_goes_on(alone: Stage) -> None:
    large = alone.submit(model__hidden_size=400_000, training__epochs=1)
    small = alone.submit(training__epochs=2)
    alone.start_worker("--devices", "0")
    alone.until_state(large, "failed")
    assert service.details(alone.store, large.id).attempts[-1].failure == "out_of_memory"
    alone.until_state(small, "succeeded")
