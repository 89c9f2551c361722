"""Resume, retry and carry on, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from job_queue import lyric, metric
from people import ANN
from versemill.errors import ConfigError, JobStateError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.execution.worker_api import ProgressRow
from versemill.jobs.states import State
from versemill.jobs.storage.tables import (
    CheckpointChunk,
    LyricText,
    Metric,
)

if TYPE_CHECKING:
    from job_queue import JobQueue


class TestResumeAndRetry:
    def test_resume(self, queue: JobQueue) -> None:
        claim = queue.in_state(State.PAUSED)
        assert (
            service.resume(queue.store, claim.job_id, ANN, inexact=True).job.state is State.QUEUED
        )
        assert queue.claim(claim.job_id).inexact

    def test_a_finished_job_goes_on_with_more_epochs(self, queue: JobQueue) -> None:
        claim = queue.running()
        worker_api.record(queue.store, claim, metrics=[metric(10)])
        worker_api.finish(queue.store, claim, State.SUCCEEDED, message="done", result={"a": 1})
        job = service.resume(queue.store, claim.job_id, ANN, epochs=80).job
        assert (job.state, job.epochs, job.finished_at) == (State.QUEUED, 80, None)
        assert queue.claim().config["training"]["epochs"] == 80
        assert queue.details(claim).result is None
        assert len(service.curve(queue.store, claim.job_id)) == 1

    def test_more_epochs_must_be_more(self, queue: JobQueue) -> None:
        claim = queue.in_state(State.SUCCEEDED)
        with pytest.raises(JobStateError, match="has finished its 50 epochs"):
            service.resume(queue.store, claim.job_id, ANN)
        with pytest.raises(ConfigError, match=r"training.epochs = 50 .* at least 51"):
            service.resume(queue.store, claim.job_id, ANN, epochs=50)

    @pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
    def test_retry(self, queue: JobQueue, state: State) -> None:
        claim = queue.running()
        queue.checkpoint(claim, step=10)
        worker_api.finish(queue.store, claim, state, message="x", error="it broke")
        with pytest.raises(JobStateError, match="cannot be resumed"):
            service.resume(queue.store, claim.job_id, ANN)
        job = service.retry(queue.store, claim.job_id, ANN).job
        assert (job.state, job.error) == (State.QUEUED, None)
        assert worker_api.latest_checkpoint(queue.store, job.id) is not None

    def test_retry_from_scratch_forgets(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.checkpoint(claim, step=10)
        worker_api.record(
            queue.store,
            claim,
            progress=ProgressRow(step=10, epoch=1, train_perplexity=3.0),
            metrics=[metric(10)],
            lyrics=[lyric(10)],
        )
        worker_api.finish(queue.store, claim, State.FAILED, message="x")
        job = service.retry(queue.store, claim.job_id, ANN, from_scratch=True).job
        assert (job.step, job.epoch, job.train_perplexity) == (0, 0, None)
        assert worker_api.latest_checkpoint(queue.store, job.id) is None
        assert [queue.count(t) for t in (Metric, LyricText, CheckpointChunk)] == [0, 0, 0]

    @pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.SUCCEEDED])
    def test_only_what_failed_can_be_retried(self, queue: JobQueue, state: State) -> None:
        claim = queue.in_state(state)
        with pytest.raises(JobStateError, match="only failed and cancelled"):
            service.retry(queue.store, claim.job_id, ANN)
