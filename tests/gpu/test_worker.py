"""Real workers and trainers on one CUDA device: shared by memory, out of memory, pre-empted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from sqlalchemy import update

from people import ANN
from versemill.config.recipes import apply_overrides
from versemill.jobs import service
from versemill.jobs.devices import DeviceNeeds
from versemill.jobs.execution import preemption
from versemill.jobs.service import Submission
from versemill.jobs.states import Priority
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Job, MemorySeen
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.text.corpus import Text
from versemill_workers import nvidia
from worker_cluster import ENDLESS, SMALL, SONG, TEXT, Cluster

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


GB = 10**9
LARGE = {
    "cell": "lstm",
    "sampler": "random",
    "model.hidden_size": 2048,
    "model.embedding_size": 64,
    "training.batch_size": 512,
    "training.window": 100,
    "training.epochs": 2,
    "training.report_every": 1,
    "training.learning_rate": 1e-4,
}
"""A job that takes several GB of a GPU."""


def submit(
    cluster: Cluster, overrides: dict[str, object], *, memory: int, text: Text = TEXT
) -> JobView:
    """A job that is admitted with so many bytes."""
    config = resolve(apply_overrides({}, SMALL | overrides), Registry.discover())
    submission = Submission(
        config=config, text=text, plugins=[], needs=DeviceNeeds(memory=memory), shape="a" * 64
    )
    return service.enqueue(cluster.store, submission, ANN).job


def write(cluster: Cluster, statement: object) -> None:
    with cluster.store.unit_of_work() as uow:
        uow.execute(statement)  # type: ignore[arg-type]
        uow.commit()


def attempts(cluster: Cluster, job: JobView) -> list[Attempt]:
    with cluster.store.reading() as session:
        found = session.query(Attempt).where(Attempt.job_id == job.id).order_by(Attempt.number)
        return list(found)


def trains(cluster: Cluster, job: JobView) -> None:
    cluster.until(lambda: cluster.job(job).state == "running" and cluster.job(job).step > 0)


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


def test_its_memory_is_measured() -> None:
    (device,) = nvidia.reader()()
    free, total = torch.cuda.mem_get_info()
    assert device.id.startswith("GPU-")
    assert device.memory == pytest.approx(total, rel=0.02)
    assert device.free == pytest.approx(free, abs=2 * GB)


def test_jobs_share_it_by_memory(sqlite_cluster: Cluster) -> None:
    (device,) = nvidia.reader()()
    assert device.free is not None
    assert device.memory is not None
    part = int(0.4 * device.free)
    endless = {"training.epochs": 1_000_000, "training.patience": 0, "training.report_every": 10}
    first, second, third = (submit(sqlite_cluster, endless, memory=part) for _ in range(3))
    sqlite_cluster.start_worker("--devices", "0", "--slots", "4")
    trains(sqlite_cluster, first)
    trains(sqlite_cluster, second)
    assert sqlite_cluster.job(third).state == "queued"
    assert "the largest free is" in str(service.waiting(sqlite_cluster.store, third.id))
    sqlite_cluster.until(lambda: attempts(sqlite_cluster, first)[0].memory_used)
    (ours,) = attempts(sqlite_cluster, first)
    assert (ours.device_id, ours.memory) == (device.id, part)
    assert ours.share == pytest.approx(part / device.memory)
    (shown,) = sqlite_cluster.until(lambda: service.devices_in_use(sqlite_cluster.store))
    assert shown.jobs == (first.id, second.id)
    service.request_cancel(sqlite_cluster.store, first.id, ANN)
    trains(sqlite_cluster, third)
    with sqlite_cluster.store.reading() as session:
        seen = session.get(MemorySeen, "a" * 64)
    assert seen is not None
    (now,) = attempts(sqlite_cluster, third)
    assert now.memory is not None
    assert seen.bytes_used < now.memory < part, "corrected by what the first has really taken"
    print(f"a small job took {seen.bytes_used:,} bytes, as it says itself")


def test_a_job_out_of_memory_is_admitted_again_with_more(sqlite_cluster: Cluster) -> None:
    left = 3 * GB
    outsider = torch.empty(torch.cuda.mem_get_info()[0] - left, dtype=torch.uint8, device="cuda")
    job = submit(sqlite_cluster, LARGE, memory=GB, text=Text((SONG * 4000,)))
    sqlite_cluster.start_worker("--devices", "0")
    waits = "used by processes outside the queue"
    sqlite_cluster.until(
        lambda: (
            waits in str(service.waiting(sqlite_cluster.store, job.id))
            and sqlite_cluster.job(job).attempt > 0
        )
    )
    ran_out = attempts(sqlite_cluster, job)
    assert {attempt.failure for attempt in ran_out} == {"out_of_memory"}
    del outsider
    torch.cuda.empty_cache()
    sqlite_cluster.until_state(job, "succeeded")
    memory = [attempt.memory or 0 for attempt in attempts(sqlite_cluster, job)]
    assert memory == sorted(memory)
    assert memory[0] == GB < memory[-1]
    print(f"admitted with {memory} bytes, took {attempts(sqlite_cluster, job)[-1].memory_used:,}")


def test_an_urgent_job_takes_a_place_on_it_and_nothing_is_lost(sqlite_cluster: Cluster) -> None:
    long = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker("--devices", "0")
    trains(sqlite_cluster, long)
    old = db_now(-2 * preemption.LEAST_RUN_SECONDS)
    write(sqlite_cluster, update(Attempt).where(Attempt.job_id == long.id).values(started_at=old))
    urgent = sqlite_cluster.submit()
    priority = update(Job).where(Job.id == urgent.id).values(priority=Priority.URGENT)
    write(sqlite_cluster, priority)
    sqlite_cluster.until_state(urgent, "succeeded")
    sqlite_cluster.until(lambda: attempts(sqlite_cluster, long)[-1].first_step)
    first, second = attempts(sqlite_cluster, long)
    assert first.last_step
    assert second.first_step == first.last_step
    assert machine(sqlite_cluster, long).startswith("cuda ")
    gave = [told for told in sqlite_cluster.messages(long) if "its place goes to urgent" in told]
    assert "; 0 steps lost" in gave[0]
