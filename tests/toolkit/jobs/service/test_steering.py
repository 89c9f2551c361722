"""Requests and removal, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs_floor import lyric, metric
from people import ANN, BOB
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
    from jobs_floor import Floor


class TestRequests:
    def test_waiting_jobs_flip_at_once(self, floor: Floor) -> None:
        job_id = floor.submit().id
        assert service.request_pause(floor.store, job_id, ANN) is State.PAUSED
        assert service.request_pause(floor.store, job_id, ANN) is State.PAUSED
        assert service.request_cancel(floor.store, job_id, ANN) is State.CANCELLED
        assert service.request_cancel(floor.store, job_id, ANN) is State.CANCELLED
        assert len(service.details(floor.store, job_id).events) == 3

    def test_the_stronger_request_wins(self, floor: Floor) -> None:
        claim = floor.running()

        def asked() -> Request:
            return worker_api.peek_request(floor.store, claim)

        assert asked() is Request.NONE
        service.request_yield(floor.store, claim.job_id, ANN)
        assert asked() is Request.YIELD
        service.request_cancel(floor.store, claim.job_id, BOB)
        assert asked() is Request.CANCEL
        service.request_pause(floor.store, claim.job_id, ANN)
        assert asked() is Request.CANCEL
        assert worker_api.renew(floor.store, claim) is Request.CANCEL
        assert floor.job(claim.job_id).state_shown == "cancelling"
        messages = [event.message for event in floor.details(claim).events]
        assert messages[-2:] == ["yield requested", "cancel requested"]

    def test_a_job_whose_worker_is_gone_is_stopped_at_once(self, floor: Floor) -> None:
        claim = floor.running()
        floor.expire(claim)
        assert service.request_pause(floor.store, claim.job_id, ANN) is State.PAUSED
        shown = floor.details(claim)
        assert shown.attempts[0].outcome is Outcome.LEASE_EXPIRED
        assert "its worker is gone: the last checkpoint stands" in shown.events[-1].message

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
    def test_ended_jobs_have_nothing_to_cancel(self, floor: Floor, state: State) -> None:
        claim = floor.in_state(state)
        with pytest.raises(JobStateError, match=f"is already {state}; nothing to cancel"):
            service.request_cancel(floor.store, claim.job_id, ANN)


class TestRemove:
    def test_everything_goes(self, floor: Floor) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=10)
        worker_api.record(floor.store, claim, metrics=[metric(10)], lyrics=[lyric(10)])
        with pytest.raises(JobStateError, match="is running and cannot be removed"):
            service.remove(floor.store, claim.job_id, ANN)
        worker_api.finish(floor.store, claim, State.SUCCEEDED, message="done")
        service.remove(floor.store, claim.job_id, ANN)
        tables = (Job, Attempt, Event, Metric, LyricText, StoredCheckpoint, CheckpointChunk)
        assert [floor.count(table) for table in (*tables, StoredText)] == [0] * 8

    def test_a_text_still_in_use_stays(self, floor: Floor) -> None:
        first, second = floor.submit().id, floor.submit().id
        service.remove(floor.store, first, ANN)
        assert floor.count(StoredText) == 1
        service.remove(floor.store, second, ANN)
        assert floor.count(StoredText) == 0

    def test_an_id_never_comes_back(self, floor: Floor) -> None:
        gone = floor.submit().id
        service.remove(floor.store, gone, ANN)
        assert floor.submit().id > gone
