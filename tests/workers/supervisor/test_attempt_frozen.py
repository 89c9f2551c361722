"""Frozen processes (SIGSTOP) that thaw (SIGCONT) when somebody else has had their job."""

from __future__ import annotations

import contextlib
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import recovery
from versemill.jobs.storage.tables import Base
from versemill_workers.supervisor import attempt as supervising
from worker_cluster import ENDLESS, Cluster, has_ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.jobs.views import JobView

pytestmark = pytest.mark.timeout(400)  # each waits long enough for a busy machine


def rows(cluster: Cluster) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but that of the workers, who say that they are alive."""
    with cluster.store.reading() as session:
        return {
            name: sorted(map(tuple, session.execute(select(table))), key=repr)
            for name, table in Base.metadata.tables.items()
            if name != "workers"
        }


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """While the block lasts, the process stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def requeue(cluster: Cluster, job: JobView) -> None:
    """Takes the job off its holder, as a sweep does once the lease has run out."""
    cluster.expire_lease(job)
    assert recovery.sweep(cluster.store) == [job.id]


def train_elsewhere_and_pause(cluster: Cluster, job: JobView) -> None:
    """Lets a second worker have the job, until nobody writes anything any more."""
    successor = cluster.start_worker("--name", "successor")
    cluster.until(lambda: any(m.startswith("resumed") for m in cluster.messages(job)))
    cluster.until_checkpoint(job, after=cluster.job(job).step)
    service.request_pause(cluster.store, job.id, ANN)
    cluster.until_state(job, "paused")
    successor.terminate()
    assert successor.wait(60) == 0


def test_a_worker_continued_after_another_had_its_job_writes_no_row(cluster: Cluster) -> None:
    job = cluster.submit(**ENDLESS)
    worker = cluster.start_worker("--name", "sleeper")
    trainer = cluster.until_training(job)
    cluster.until_checkpoint(job)
    cluster.freeze(worker)
    with frozen(worker.pid):
        # The trainer trains on: when it thaws, its supervisor has much to write.
        requeue(cluster, job)
        train_elsewhere_and_pause(cluster, job)
        before = rows(cluster)
    cluster.until(lambda: has_ended(trainer))
    cluster.until(lambda: "no longer holds job" in cluster.log())
    # It is well otherwise: the next job is its own.
    assert rows(cluster) == before
    after = cluster.submit()
    cluster.until_state(after, "succeeded")
    (attempt,) = service.details(cluster.store, after.id).attempts
    assert attempt.worker == "sleeper"


def test_a_trainer_continued_after_another_had_its_job_ends(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    worker = sqlite_cluster.start_worker("--name", "killed")
    trainer = sqlite_cluster.until_training(job)
    sqlite_cluster.until_checkpoint(job)
    with frozen(trainer.pid):
        worker.kill()
        worker.wait()
        requeue(sqlite_cluster, job)
        train_elsewhere_and_pause(sqlite_cluster, job)
        before = rows(sqlite_cluster)
        assert not has_ended(trainer)
    sqlite_cluster.until(lambda: has_ended(trainer))
    assert rows(sqlite_cluster) == before


def test_a_trainer_continued_in_time_goes_on(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    with frozen(trainer.pid):
        step = sqlite_cluster.job(job).step
    sqlite_cluster.until_checkpoint(job, after=step)
    assert sqlite_cluster.trainer() == trainer
    assert sqlite_cluster.job(job).attempt == 1


def test_a_trainer_that_stays_frozen_is_killed_and_counts_as_stalled(
    sqlite_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSEMILL_HOME", str(sqlite_cluster.home))
    job = sqlite_cluster.submit(**ENDLESS)
    trainer, thread = sqlite_cluster.supervise_here(job)
    trainer.suspend()
    monkeypatch.setattr(supervising, "STALL_SECONDS", 3.0)  # only now: starting may take as long
    thread.join(60)
    assert has_ended(trainer)
    (attempt,) = service.details(sqlite_cluster.store, job.id).attempts
    assert (attempt.failure, attempt.exit) == ("stalled", "killed by signal 9 (SIGKILL)")
    assert sqlite_cluster.messages(job)[-1].startswith("no sign of life for 3 s after step ")
