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
from worker_stage import ENDLESS, Stage, has_ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.jobs.views import JobView

pytestmark = pytest.mark.timeout(400)  # each waits long enough for a busy machine


def rows(stage: Stage) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but that of the workers, who say that they are alive."""
    with stage.store.reading() as session:
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


def requeue(stage: Stage, job: JobView) -> None:
    """Takes the job off its holder, as a sweep does once the lease has run out."""
    stage.expire_lease(job)
    assert recovery.sweep(stage.store) == [job.id]


def train_elsewhere_and_pause(stage: Stage, job: JobView) -> None:
    """Lets a second worker have the job, until nobody writes anything any more."""
    heir = stage.start_worker("--name", "heir")
    stage.until(lambda: any(m.startswith("resumed") for m in stage.messages(job)))
    stage.until_checkpoint(job, after=stage.job(job).step)
    service.request_pause(stage.store, job.id, ANN)
    stage.until_state(job, "paused")
    heir.terminate()
    assert heir.wait(60) == 0


def test_a_worker_thawed_after_another_had_its_job_writes_not_one_row(stage: Stage) -> None:
    job = stage.submit(**ENDLESS)
    worker = stage.start_worker("--name", "sleeper")
    trainer = stage.until_training(job)
    stage.until_checkpoint(job)
    stage.freeze(worker)
    with frozen(worker.pid):
        # The trainer trains on: when it thaws, its supervisor has much to write.
        requeue(stage, job)
        train_elsewhere_and_pause(stage, job)
        before = rows(stage)
    stage.until(lambda: has_ended(trainer))
    stage.until(lambda: "no longer holds job" in stage.log())
    # It is well otherwise: the next job is its own.
    assert rows(stage) == before
    after = stage.submit()
    stage.until_state(after, "succeeded")
    (attempt,) = service.details(stage.store, after.id).attempts
    assert attempt.worker == "sleeper"


def test_a_trainer_thawed_after_another_had_its_job_ends(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    worker = alone.start_worker("--name", "doomed")
    trainer = alone.until_training(job)
    alone.until_checkpoint(job)
    with frozen(trainer.pid):
        worker.kill()
        worker.wait()
        requeue(alone, job)
        train_elsewhere_and_pause(alone, job)
        before = rows(alone)
        assert not has_ended(trainer)
    alone.until(lambda: has_ended(trainer))
    assert rows(alone) == before


def test_a_trainer_thawed_in_time_goes_on(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    alone.start_worker()
    trainer = alone.until_training(job)
    with frozen(trainer.pid):
        step = alone.job(job).step
    alone.until_checkpoint(job, after=step)
    assert alone.trainer() == trainer
    assert alone.job(job).attempt == 1


def test_a_trainer_that_stays_frozen_is_killed_and_counts_as_stalled(
    alone: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSEMILL_HOME", str(alone.home))
    job = alone.submit(**ENDLESS)
    trainer, thread = alone.supervise_here(job)
    trainer.suspend()
    monkeypatch.setattr(supervising, "STALL_SECONDS", 3.0)  # only now: starting may take as long
    thread.join(60)
    assert has_ended(trainer)
    (attempt,) = service.details(alone.store, job.id).attempts
    assert (attempt.failure, attempt.exit) == ("stalled", "killed by signal 9 (SIGKILL)")
    assert alone.messages(job)[-1].startswith("no sign of life for 3 s after step ")
