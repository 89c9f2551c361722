"""Real workers and trainers on one CUDA device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from versemill.jobs import service
from worker_cluster import ENDLESS, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from versemill.jobs.views import JobView

pytestmark = pytest.mark.gpu


@pytest.fixture
def sqlite_cluster(tmp_path: Path, sqlite_url: str) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, sqlite_url)
    yield cluster
    cluster.close()


def machine(cluster: Cluster, job: JobView) -> str:
    return str(service.details(cluster.store, job.id).machine)


def test_a_job_is_trained_on_it_paused_and_resumed(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(training__epochs=400, training__report_every=400)
    sqlite_cluster.start_worker("--devices", "0")
    sqlite_cluster.until_training(job)
    sqlite_cluster.until_checkpoint(job)
    service.request_pause(sqlite_cluster.store, job.id, service.Principal("ann"))
    paused = sqlite_cluster.until_state(job, "paused")
    assert machine(sqlite_cluster, job).startswith("cuda ")
    service.resume(sqlite_cluster.store, job.id, service.Principal("ann"))
    done = sqlite_cluster.until_state(job, "succeeded")
    assert done.step > paused.step > 0


def test_two_jobs_share_it(sqlite_cluster: Cluster) -> None:
    jobs = [sqlite_cluster.submit(**ENDLESS) for _ in range(2)]
    sqlite_cluster.start_worker("--devices", "0", "--slots", "2")
    for job in jobs:
        sqlite_cluster.until(
            lambda job=job: (
                sqlite_cluster.job(job).state == "running" and sqlite_cluster.job(job).step > 0
            )
        )
    assert [sqlite_cluster.job(job).state for job in jobs] == ["running", "running"]


def test_a_job_too_large_for_it_fails_and_the_worker_goes_on(sqlite_cluster: Cluster) -> None:
    large = sqlite_cluster.submit(model__hidden_size=400_000, training__epochs=1)
    small = sqlite_cluster.submit(training__epochs=2)
    sqlite_cluster.start_worker("--devices", "0")
    sqlite_cluster.until_state(large, "failed")
    assert service.details(sqlite_cluster.store, large.id).attempts[-1].failure == "out_of_memory"
    sqlite_cluster.until_state(small, "succeeded")
