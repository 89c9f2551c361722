"""Whole workers that sweep: jobs of dead ones, twice at once, and checkpoints above the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import checkpoints
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import StoredCheckpoint, Worker
from worker_stage import ENDLESS, Stage

if TYPE_CHECKING:
    from sqlalchemy.sql.base import Executable

pytestmark = pytest.mark.timeout(400)


def write(stage: Stage, statement: Executable) -> None:
    with stage.store.unit_of_work() as uow:
        uow.execute(statement)
        uow.commit()


def test_of_two_that_sweep_at_once_one_takes_a_dead_ones_job(stage: Stage) -> None:
    job = stage.submit(**ENDLESS)
    doomed = stage.start_worker("--name", "doomed")
    stage.until_training(job)
    step = stage.until_checkpoint(job)
    heirs = [stage.start_worker("--name", name) for name in ("one", "two")]
    stage.until(lambda: len(service.live_workers(stage.store)) == 3)
    doomed.kill()
    doomed.wait()
    stage.expire_lease(job)
    # As if they had been there for longer than a lease; before, they leave others' jobs alone.
    write(stage, update(Worker).values(steady_since=db_now(-100)))
    stage.until(lambda: any(m.startswith("resumed") for m in stage.messages(job)))
    stage.until_checkpoint(job, after=step)
    told = service.details(stage.store, job.id).events
    (lost,) = [event for event in told if "worker doomed was lost at step" in event.message]
    assert lost.actor in {"one (sweep)", "two (sweep)"}
    assert stage.job(job).attempt == 2
    assert all(heir.poll() is None for heir in heirs)


def test_what_was_freed_is_in_the_log_and_in_the_story(alone: Stage) -> None:
    alone.environment["VERSEMILL_CHECKPOINT_LIMIT_GB"] = "1"
    kept, going = alone.submit(**ENDLESS), alone.submit()
    alone.start_worker()
    alone.until_checkpoint(kept)
    service.request_cancel(alone.store, kept.id, ANN)
    going = alone.until_state(going, "succeeded")
    (best,) = [row for row in checkpoints.checkpoints(alone.store, going.id) if row.is_best]
    # As if they were of real models.
    write(alone, update(StoredCheckpoint).values(size=600_000_000))
    alone.until(lambda: "over the limit of 1 GB" in alone.log())
    (line,) = [line for line in alone.log().splitlines() if f"job {going.id}: checkpoint" in line]
    assert f"checkpoint of step {going.step:,} deleted, 600.0 MB freed" in line
    assert any("600.0 MB freed" in message for message in alone.messages(going))
    left = checkpoints.checkpoints(alone.store, going.id)
    assert [row.id for row in left] == [best.id]
