"""Helpers for tests of the job queue: jobs, workers, and leases that can be made to expire."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from people import ANN
from versemill.config.job import JobConfig, TrainingOptions
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.execution.worker_api import LyricRow, MetricRow
from versemill.jobs.service import Submission
from versemill.jobs.states import FailureClass, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Base, Job, Worker
from versemill.plugins.record import PluginRecord
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from versemill.jobs.execution.worker_api import Claim, WorkerRecord
    from versemill.jobs.service import Principal
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobDetails, JobView

CONFIG = JobConfig(
    recipe="default",
    corpus="starter-zh",
    cell="gru",
    sampler="consecutive",
    tokenizer="char",
    prefixes=("分开", "不分开"),
    training=TrainingOptions(epochs=50),
)
TEXT = Text(("晨光落在窗台\n", "雨停了\n"))


class JobQueue:
    """The job queue as a test uses it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._numbers = itertools.count(1)

    def submit(
        self,
        name: str | None = None,
        *,
        text: Text = TEXT,
        owner: Principal = ANN,
        row: Mapping[str, Any] | None = None,
        **changed: Any,
    ) -> JobView:
        """Queues a job.

        Args:
            name: of the job.
            text: its corpus.
            owner: who submits it.
            row: columns of its row to set afterwards.
            changed: options of its configuration.
        """
        config = replace(CONFIG, **changed)
        plugins = [PluginRecord(kind="cell", name="gru", distribution="versemill", version="0")]
        submission = Submission(config=config, text=text, plugins=plugins, name=name)
        job = service.enqueue(self.store, submission, owner).job
        if row:
            self.change(Job, Job.id == job.id, **row)
        return job

    def worker(self) -> WorkerRecord:
        return worker_api.register_worker(self.store, f"gpu-{next(self._numbers)}", 1)

    def claim(self, only: int | None = None) -> Claim:
        found = worker_api.claim(self.store, self.worker(), only=only)
        assert found is not None
        return found

    def running(self) -> Claim:
        return self.claim(self.submit().id)

    def in_state(self, state: State) -> Claim:
        """A job that has run once and is now in `state`."""
        claim = self.running()
        if state is not State.RUNNING:
            worker_api.finish(self.store, claim, state, message="for a test")
        return claim

    def state(self, claim: Claim) -> State:
        return self.job(claim.job_id).state

    def job(self, job_id: int) -> JobView:
        return service.find(self.store, str(job_id))

    def details(self, claim: Claim) -> JobDetails:
        return service.details(self.store, claim.job_id)

    def expire(self, claim: Claim) -> None:
        """Lets the lease run out, as if half a minute had passed."""
        self._set(claim, lease_until=db_now(-1))

    def skip_delay(self, claim: Claim) -> None:
        """Lets the back-off pass."""
        self._set(claim, available_at=db_now(-1))

    def age_worker(self, worker: WorkerRecord, *, seen: float = 0, steady: float = 0) -> None:
        """Moves a worker's times into the past, by seconds."""
        values = {"seen_at": db_now(-seen), "steady_since": db_now(-steady)}
        with self.store.unit_of_work() as uow:
            uow.execute(update(Worker).where(Worker.id == worker.id).values(values))
            uow.commit()

    def requeue(self, claim: Claim) -> None:
        """Takes the job off its holder."""
        self.expire(claim)
        assert worker_api.sweep(self.store) == [claim.job_id]

    def fail(self, claim: Claim, failure: FailureClass = FailureClass.INFRASTRUCTURE) -> State:
        return worker_api.fail_or_retry(self.store, claim, failure, error="it broke")

    def checkpoint(
        self,
        claim: Claim,
        *,
        step: int,
        data: bytes = b"weights",
        made_with: Sequence[PluginRecord] = (),
        **flags: bool,
    ) -> int:
        flags = flags or {"is_last": True}
        number = worker_api.begin_checkpoint(
            self.store, claim, step=step, epoch=step // 10, size=len(data), **flags
        )
        for start in range(0, len(data), worker_api.CHUNK_BYTES):
            piece = data[start : start + worker_api.CHUNK_BYTES]
            worker_api.add_chunk(self.store, claim, number, start // worker_api.CHUNK_BYTES, piece)
        digest = hashlib.sha256(data).hexdigest()
        worker_api.complete_checkpoint(self.store, claim, number, digest, made_with)
        return number

    def count(self, table: type[Base]) -> int:
        with self.store.reading() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def snapshot(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        with self.store.reading() as session:
            return {
                name: sorted(map(tuple, session.execute(select(table))), key=repr)
                for name, table in Base.metadata.tables.items()
            }

    def change(self, table: type[Base], *conditions: Any, **values: Any) -> None:
        """Changes rows directly, for situations that would take long to arise."""
        with self.store.unit_of_work() as uow:
            uow.execute(update(table).where(*conditions).values(values))
            uow.commit()

    def _set(self, claim: Claim, **values: Any) -> None:
        self.change(Job, Job.id == claim.job_id, **values)


def metric(step: int, *, valid: float | None = 9.0) -> MetricRow:
    return MetricRow(
        step=step,
        epoch=step // 10,
        train_perplexity=100.0 / step,
        valid_perplexity=valid,
        characters_per_second=1000.0,
    )


def lyric(step: int, prefix: str = "分开") -> LyricRow:
    return LyricRow(
        step=step, epoch=step // 10, prefix=prefix, text=f"{prefix}…", seed=7, decoder="greedy"
    )
