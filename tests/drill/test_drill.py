"""The drill in short, and that it would notice whatever it looks for."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from sqlalchemy import delete, insert, update

from drill import commit_faults, workload
from drill.__main__ import STACKS, drill
from drill.findings import Findings, examine
from drill.workload import SMALL, TEXT, Workload
from people import ANN
from versemill.checkpoints.file import Checkpoint, write
from versemill.config.recipes import apply_overrides
from versemill.jobs import service
from versemill.jobs.execution import checkpoints, worker_api
from versemill.jobs.service import Submission
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import (
    Attempt,
    CheckpointChunk,
    Event,
    Job,
    Metric,
    StoredCheckpoint,
)
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.testing.resume_proof.comparison import read_record

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.jobs.storage.unit_of_work import Store
    from versemill.testing.resume_proof.comparison import Record

EPOCHS = 3


@pytest.mark.timeout(600)
@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_lost_or_doubled(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (
        checkpoints,
        worker_api,
    ):  # a drill shrinks them for good, and this process goes on
        monkeypatch.setattr(room, "CHUNK_BYTES", commit_faults.CHUNK_BYTES)
    # `make drill` has more of everything.
    monkeypatch.setitem(SMALL, "training.epochs", 60)
    monkeypatch.setattr(workload, "WAITING", 3)
    assert drill(stack, seconds=6, seed=3, members=2, keep=False)


class DrilledDatabase:
    """A database after a drill in which two jobs were trained to the same end."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.config = resolve(
            apply_overrides({}, SMALL | {"training.epochs": EPOCHS}), Registry.discover()
        )
        path = folder / "checkpoint.safetensors"
        write(Checkpoint(tensors={"weights": torch.arange(3.0)}, meta={"step": 30}), path)
        self.weights = path.read_bytes()
        self.undisturbed, self.job = self.trained(), self.trained()

    def trained(self) -> int:
        submission = Submission(config=self.config, text=TEXT, plugins=[])
        job = service.enqueue(self.store, submission, ANN).job
        claim = worker_api.claim(self.store, worker_api.register_worker(self.store, "gpu-1", 1))
        assert claim is not None
        rows = [
            worker_api.MetricRow(
                step=10 * epoch,
                epoch=epoch,
                train_perplexity=9.0,
                valid_perplexity=None,
                characters_per_second=None,
            )
            for epoch in range(1, EPOCHS + 1)
        ]
        worker_api.record(self.store, claim, metrics=rows)
        flags = {"is_last": True, "is_best": True, "is_final": True}
        number = worker_api.begin_checkpoint(
            self.store, claim, step=30, epoch=EPOCHS, size=len(self.weights), **flags
        )
        worker_api.add_chunk(self.store, claim, number, 0, self.weights)
        digest = hashlib.sha256(self.weights).hexdigest()
        worker_api.complete_checkpoint(self.store, claim, number, digest)
        worker_api.finish(
            self.store, claim, State.SUCCEEDED, message="trained", result={"step": 30}
        )
        return job.id

    def record(self) -> Record:
        return read_record(self.store, self.undisturbed)

    def change(self, *statements: Any) -> None:
        with self.store.unit_of_work() as uow:
            for statement in statements:
                uow.execute(statement)
            uow.commit()

    def findings(self) -> Findings:
        work = Workload(store=self.store, settings=None, accepted={self.job: 0})  # type: ignore[arg-type]
        campaign = SimpleNamespace(work=work, fleet=[], forced_failures=[])
        return examine(campaign, {0: self.record()})  # type: ignore[arg-type]


@pytest.fixture
def drilled_database(store: Store, tmp_path: Path) -> DrilledDatabase:
    return DrilledDatabase(store, tmp_path)


def broken(found: Findings) -> set[str]:
    return {name for name, where in found.broken.items() if where}


def test_an_undamaged_database_passes(drilled_database: DrilledDatabase) -> None:
    found = drilled_database.findings()
    assert found.passed
    assert (found.accepted, found.finished, found.attempts) == (1, 1, 2)


def test_a_job_that_is_gone_is_lost(drilled_database: DrilledDatabase) -> None:
    drilled_database.change(delete(Job).where(Job.id == drilled_database.job))
    found = drilled_database.findings()
    assert found.lost == [drilled_database.job]
    assert not found.passed


def test_a_job_that_still_runs_is_lost(drilled_database: DrilledDatabase) -> None:
    running = {"state": State.RUNNING, "lease_until": db_now(30)}
    drilled_database.change(update(Job).where(Job.id == drilled_database.job).values(running))
    found = drilled_database.findings()
    assert found.lost == [drilled_database.job]
    assert "every job terminal or waiting" in broken(found)


def test_attempts_that_overlap_are_doubled(drilled_database: DrilledDatabase) -> None:
    earlier = {"started_at": db_now(-60), "ended_at": db_now(60)}
    second = {"number": 2, "worker_id": "x", "worker_name": "gpu-2"}
    drilled_database.change(
        update(Attempt).where(Attempt.job_id == drilled_database.job).values(earlier),
        insert(Attempt).values(job_id=drilled_database.job, **second),
    )
    found = drilled_database.findings()
    assert found.doubled == [drilled_database.job]
    assert {"one live attempt per job", "attempts monotone"} <= broken(found)


def test_a_job_that_ended_twice_is_doubled(drilled_database: DrilledDatabase) -> None:
    again = {"from_state": State.RUNNING, "to_state": State.SUCCEEDED, "message": "again"}
    drilled_database.change(
        insert(Event).values(job_id=drilled_database.job, actor="gpu-2", **again)
    )
    found = drilled_database.findings()
    assert found.doubled == [drilled_database.job]
    assert "every move allowed, each once" in broken(found)


def test_a_gap_in_a_curve_is_found(drilled_database: DrilledDatabase) -> None:
    drilled_database.change(
        delete(Metric).where(Metric.job_id == drilled_database.job, Metric.epoch == 2)
    )
    assert "curves without gap or overlap" in broken(drilled_database.findings())


def test_figures_in_the_wrong_order_are_found(drilled_database: DrilledDatabase) -> None:
    first = (Metric.job_id == drilled_database.job, Metric.epoch == 1)
    drilled_database.change(update(Metric).where(*first).values(attempt=2))
    assert broken(drilled_database.findings()) == {"curves without gap or overlap"}


def test_another_figure_is_found(drilled_database: DrilledDatabase) -> None:
    last = (Metric.job_id == drilled_database.job, Metric.epoch == EPOCHS)
    drilled_database.change(update(Metric).where(*last).values(train_perplexity=9.000001))
    assert broken(drilled_database.findings()) == {"same as undisturbed, bit for bit"}


def test_a_damaged_checkpoint_is_found(drilled_database: DrilledDatabase) -> None:
    mine = StoredCheckpoint.job_id == drilled_database.job
    with drilled_database.store.reading() as session:
        number = session.query(StoredCheckpoint.id).filter(mine).scalar()
    damaged = drilled_database.weights[:-1] + bytes([drilled_database.weights[-1] ^ 1])
    chunk = CheckpointChunk.checkpoint_id == number
    drilled_database.change(update(CheckpointChunk).where(chunk).values(data=damaged))
    assert broken(drilled_database.findings()) == {"same as undisturbed, bit for bit"}


def test_a_flag_that_is_gone_is_found(drilled_database: DrilledDatabase) -> None:
    mine = StoredCheckpoint.job_id == drilled_database.job
    drilled_database.change(update(StoredCheckpoint).where(mine).values(is_final=False))
    assert "last, best and final kept once" in broken(drilled_database.findings())
