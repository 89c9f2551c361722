"""Requests and removal, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from job_queue import lyric, metric
from people import ANN
from versemill.errors import JobStateError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.states import Outcome, Request, State
from versemill.jobs.storage.tables import (
    Attempt,
    CheckpointChunk,
    Event,
    Job,
    LyricText,
    Metric,
    StoredCheckpoint,
    StoredText,
)

if TYPE_CHECKING:
    from job_queue import JobQueue


class TestRequests:
    def test_waiting_jobs_flip_at_once(self, queue: JobQueue) -> None:
        job_id = queue.submit().id
        assert service.request_pause(queue.store, job_id, ANN) is State.PAUSED
        assert service.request_pause(queue.store, job_id, ANN) is State.PAUSED
        assert service.request_cancel(queue.store, job_id, ANN) is State.CANCELLED
        assert service.request_cancel(queue.store, job_id, ANN) is State.CANCELLED
        assert len(service.details(queue.store, job_id).events) == 3

    def test_the_stronger_request_wins(self, queue: JobQueue) -> None:
        claim = queue.running()

        def asked() -> Request:
            return worker_api.read_request(queue.store, claim)

        assert asked() is Request.NONE
        service.request_yield(queue.store, claim.job_id, ANN)
        assert asked() is Request.YIELD
        service.request_cancel(queue.store, claim.job_id, ANN)
        assert asked() is Request.CANCEL
        service.request_pause(queue.store, claim.job_id, ANN)
        assert asked() is Request.CANCEL
        assert worker_api.renew(queue.store, claim) is Request.CANCEL
        assert queue.job(claim.job_id).state_shown == "cancelling"
        messages = [event.message for event in queue.details(claim).events]
        assert messages[-2:] == ["yield requested", "cancel requested"]

    def test_a_job_whose_worker_is_gone_is_stopped_at_once(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.expire(claim)
        assert service.request_pause(queue.store, claim.job_id, ANN) is State.PAUSED
        shown = queue.details(claim)
        assert shown.attempts[0].outcome is Outcome.LEASE_EXPIRED
        assert "its worker is gone: the last checkpoint stands" in shown.events[-1].message

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
    def test_ended_jobs_have_nothing_to_cancel(self, queue: JobQueue, state: State) -> None:
        claim = queue.in_state(state)
        with pytest.raises(JobStateError, match=f"is already {state}; nothing to cancel"):
            service.request_cancel(queue.store, claim.job_id, ANN)


class TestRemove:
    def test_everything_goes(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.checkpoint(claim, step=10)
        worker_api.record(queue.store, claim, metrics=[metric(10)], lyrics=[lyric(10)])
        with pytest.raises(JobStateError, match="is running and cannot be removed"):
            service.remove(queue.store, claim.job_id, ANN)
        worker_api.finish(queue.store, claim, State.SUCCEEDED, message="done")
        service.remove(queue.store, claim.job_id, ANN)
        tables = (Job, Attempt, Event, Metric, LyricText, StoredCheckpoint, CheckpointChunk)
        assert [queue.count(table) for table in (*tables, StoredText)] == [0] * 8

    def test_a_text_still_in_use_stays(self, queue: JobQueue) -> None:
        first, second = queue.submit().id, queue.submit().id
        service.remove(queue.store, first, ANN)
        assert queue.count(StoredText) == 1
        service.remove(queue.store, second, ANN)
        assert queue.count(StoredText) == 0

    def test_an_id_never_comes_back(self, queue: JobQueue) -> None:
        gone = queue.submit().id
        service.remove(queue.store, gone, ANN)
        assert queue.submit().id > gone
