"""Sweeps, retry caps and back-off on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.states import RETRIES, FailureClass, Outcome, Request, State
from versemill.jobs.storage.tables import StoredCheckpoint
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from jobs_floor import Floor
    from versemill.jobs.execution.worker_api import Claim

Ask = Callable[[Store, int, str], State]
INFRASTRUCTURE = FailureClass.INFRASTRUCTURE


def again(floor: Floor, claim: Claim) -> Claim:
    floor.hurry(claim)
    return floor.claim(claim.job_id)


class TestSweep:
    def test_an_expired_lease_is_requeued(self, floor: Floor) -> None:
        claim = floor.running()
        assert worker_api.sweep(floor.store) == []
        floor.expire(claim)
        assert worker_api.sweep(floor.store) == [claim.job_id]
        assert worker_api.sweep(floor.store) == []
        shown = floor.details(claim)
        assert shown.job.state is State.QUEUED
        attempt = shown.attempts[0]
        assert (attempt.outcome, attempt.failure) == (Outcome.LEASE_EXPIRED, INFRASTRUCTURE)
        assert "worker gpu-1 was lost at step" in shown.events[-1].message
        assert floor.claim().attempt == 2, "the first time without waiting"

    @pytest.mark.parametrize(
        ("ask", "state"),
        [
            (service.request_cancel, State.CANCELLED),
            (service.request_pause, State.PAUSED),
            (service.request_yield, State.QUEUED),
        ],
    )
    def test_a_pending_request_is_honoured(self, floor: Floor, ask: Ask, state: State) -> None:
        claim = floor.running()
        assert ask(floor.store, claim.job_id, ANN) is State.RUNNING
        floor.expire(claim)
        requeued = worker_api.sweep(floor.store)
        assert requeued == ([claim.job_id] if state is State.QUEUED else [])
        assert floor.state(claim) is state
        assert floor.job(claim.job_id).request is Request.NONE

    def test_expiry_is_bounded(self, floor: Floor) -> None:
        claim = floor.running()
        for _ in range(RETRIES[INFRASTRUCTURE].cap):
            floor.requeue(claim)
            claim = again(floor, claim)
        floor.expire(claim)
        assert worker_api.sweep(floor.store) == []
        job = floor.job(claim.job_id)
        assert job.state is State.FAILED
        assert job.error is not None
        assert job.error.startswith("worker gpu-6 was lost at step 0")
        assert "gave up after 6 such failures" in job.error

    def test_many_sweepers_repair_once(self, floor: Floor) -> None:
        claims = [floor.running() for _ in range(5)]
        for claim in claims:
            floor.expire(claim)
        ready = threading.Barrier(3)
        swept: list[int] = []

        def work() -> None:
            ready.wait()
            swept.extend(worker_api.sweep(floor.store))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(swept) == [claim.job_id for claim in claims]
        for claim in claims:
            moves = [e for e in floor.details(claim).events if e.from_state is State.RUNNING]
            assert len(moves) == 1

    @pytest.mark.parametrize(
        ("seen", "steady", "sweeps"), [(1, 31, True), (1, 29, False), (31, 100, False)]
    )
    def test_a_worker_sweeps_only_when_steady(
        self, floor: Floor, seen: float, steady: float, sweeps: bool
    ) -> None:
        claim = floor.running()
        floor.expire(claim)
        sweeper = floor.worker()
        floor.age_worker(sweeper, seen=seen, steady=steady)
        assert worker_api.sweep(floor.store, sweeper) == ([claim.job_id] if sweeps else [])

    def test_abandoned_checkpoints_are_deleted(self, floor: Floor) -> None:
        claim = floor.running()
        whole = floor.checkpoint(claim, step=10)
        worker_api.begin_checkpoint(floor.store, claim, step=20, epoch=2, size=9)
        worker_api.sweep(floor.store)
        assert floor.count(StoredCheckpoint) == 2, "its attempt is still at work"
        floor.requeue(claim)
        assert floor.count(StoredCheckpoint) == 1
        latest = worker_api.latest_checkpoint(floor.store, claim.job_id)
        assert latest is not None
        assert latest.id == whole


class TestRetries:
    @pytest.mark.parametrize("failure", FailureClass)
    def test_caps(self, floor: Floor, failure: FailureClass) -> None:
        claim = floor.running()
        for _ in range(RETRIES[failure].cap):
            assert floor.fail(claim, failure) is State.QUEUED
            claim = again(floor, claim)
        assert floor.fail(claim, failure) is State.FAILED
        job = floor.job(claim.job_id)
        assert job.error is not None
        assert job.error.startswith("it broke")
        assert floor.details(claim).attempts[-1].failure is failure

    def test_back_off(self, floor: Floor) -> None:
        claim = floor.running()
        floor.fail(claim)
        claim = floor.claim(claim.job_id)
        floor.fail(claim)
        assert not worker_api.runnable(floor.store, floor.worker(), only=claim.job_id)
        assert "trying again in 2 s (2 of 5)" in floor.details(claim).events[-1].message
        claim = again(floor, claim)
        assert claim.attempt == 3

    def test_a_delayed_job_does_not_hold_up_the_others(self, floor: Floor) -> None:
        claim = floor.running()
        other = floor.submit().id
        floor.fail(claim)
        floor.fail(floor.claim(claim.job_id))
        assert floor.claim().job_id == other

    def test_progress_starts_a_new_count(self, floor: Floor) -> None:
        claim = floor.running()
        for step in range(10, 200, 10):
            floor.checkpoint(claim, step=step)
            assert floor.fail(claim) is State.QUEUED
            claim = again(floor, claim)

    def test_a_checkpoint_no_further_than_before_is_no_progress(self, floor: Floor) -> None:
        claim = floor.running()
        for _ in range(RETRIES[INFRASTRUCTURE].cap):
            floor.checkpoint(claim, step=10)
            assert floor.fail(claim) is State.QUEUED
            claim = again(floor, claim)
        floor.checkpoint(claim, step=10)
        assert floor.fail(claim) is State.FAILED

    def test_an_incomplete_checkpoint_is_no_progress(self, floor: Floor) -> None:
        claim = floor.running()
        for step in range(RETRIES[INFRASTRUCTURE].cap):
            worker_api.begin_checkpoint(floor.store, claim, step=step, epoch=0, size=1)
            floor.fail(claim)
            claim = again(floor, claim)
        assert floor.fail(claim) is State.FAILED

    def test_classes_count_apart(self, floor: Floor) -> None:
        claim = floor.running()
        assert floor.fail(claim, FailureClass.OUT_OF_MEMORY) is State.QUEUED
        claim = again(floor, claim)
        assert floor.fail(claim, FailureClass.STALLED) is State.QUEUED
        claim = again(floor, claim)
        assert floor.fail(claim, FailureClass.OUT_OF_MEMORY) is State.FAILED

    def test_retry_starts_a_new_count(self, floor: Floor) -> None:
        claim = floor.running()
        floor.fail(claim, FailureClass.OUT_OF_MEMORY)
        claim = again(floor, claim)
        assert floor.fail(claim, FailureClass.OUT_OF_MEMORY) is State.FAILED
        service.retry(floor.store, claim.job_id, ANN)
        claim = floor.claim(claim.job_id)
        assert floor.fail(claim, FailureClass.OUT_OF_MEMORY) is State.QUEUED

    @pytest.mark.parametrize(
        ("failure", "cancelled", "paused"),
        [
            (FailureClass.INFRASTRUCTURE, State.CANCELLED, State.PAUSED),
            (FailureClass.USER, State.CANCELLED, State.FAILED),
        ],
    )
    def test_requests_come_before_another_try(
        self, floor: Floor, failure: FailureClass, cancelled: State, paused: State
    ) -> None:
        claim = floor.running()
        service.request_cancel(floor.store, claim.job_id, ANN)
        assert floor.fail(claim, failure) is cancelled
        claim = floor.running()
        service.request_pause(floor.store, claim.job_id, ANN)
        assert floor.fail(claim, failure) is paused
