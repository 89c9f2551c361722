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
    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import Claim

Ask = Callable[[Store, int, str], State]
INFRASTRUCTURE = FailureClass.INFRASTRUCTURE


def again(queue: JobQueue, claim: Claim) -> Claim:
    queue.skip_delay(claim)
    return queue.claim(claim.job_id)


class TestSweep:
    def test_an_expired_lease_is_requeued(self, queue: JobQueue) -> None:
        claim = queue.running()
        assert worker_api.sweep(queue.store) == []
        queue.expire(claim)
        assert worker_api.sweep(queue.store) == [claim.job_id]
        assert worker_api.sweep(queue.store) == []
        shown = queue.details(claim)
        assert shown.job.state is State.QUEUED
        attempt = shown.attempts[0]
        assert (attempt.outcome, attempt.failure) == (Outcome.LEASE_EXPIRED, INFRASTRUCTURE)
        assert "worker gpu-1 was lost at step" in shown.events[-1].message
        assert queue.claim().attempt == 2, "the first time without waiting"

    @pytest.mark.parametrize(
        ("ask", "state"),
        [
            (service.request_cancel, State.CANCELLED),
            (service.request_pause, State.PAUSED),
            (service.request_yield, State.QUEUED),
        ],
    )
    def test_a_pending_request_is_honoured(self, queue: JobQueue, ask: Ask, state: State) -> None:
        claim = queue.running()
        assert ask(queue.store, claim.job_id, ANN) is State.RUNNING
        queue.expire(claim)
        requeued = worker_api.sweep(queue.store)
        assert requeued == ([claim.job_id] if state is State.QUEUED else [])
        assert queue.state(claim) is state
        assert queue.job(claim.job_id).request is Request.NONE

    def test_expiry_is_bounded(self, queue: JobQueue) -> None:
        claim = queue.running()
        for _ in range(RETRIES[INFRASTRUCTURE].cap):
            queue.requeue(claim)
            claim = again(queue, claim)
        queue.expire(claim)
        assert worker_api.sweep(queue.store) == []
        job = queue.job(claim.job_id)
        assert job.state is State.FAILED
        assert job.error is not None
        assert job.error.startswith("worker gpu-6 was lost at step 0")
        assert "gave up after 6 such failures" in job.error

    def test_many_sweepers_repair_once(self, queue: JobQueue) -> None:
        claims = [queue.running() for _ in range(5)]
        for claim in claims:
            queue.expire(claim)
        ready = threading.Barrier(3)
        swept: list[int] = []

        def work() -> None:
            ready.wait()
            swept.extend(worker_api.sweep(queue.store))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(swept) == [claim.job_id for claim in claims]
        for claim in claims:
            moves = [e for e in queue.details(claim).events if e.from_state is State.RUNNING]
            assert len(moves) == 1

    @pytest.mark.parametrize(
        ("seen", "steady", "sweeps"), [(1, 31, True), (1, 29, False), (31, 100, False)]
    )
    def test_a_worker_sweeps_only_when_steady(
        self, queue: JobQueue, seen: float, steady: float, sweeps: bool
    ) -> None:
        claim = queue.running()
        queue.expire(claim)
        sweeper = queue.worker()
        queue.age_worker(sweeper, seen=seen, steady=steady)
        assert worker_api.sweep(queue.store, sweeper) == ([claim.job_id] if sweeps else [])

    def test_abandoned_checkpoints_are_deleted(self, queue: JobQueue) -> None:
        claim = queue.running()
        whole = queue.checkpoint(claim, step=10)
        worker_api.begin_checkpoint(queue.store, claim, step=20, epoch=2, size=9)
        worker_api.sweep(queue.store)
        assert queue.count(StoredCheckpoint) == 2, "its attempt is still at work"
        queue.requeue(claim)
        assert queue.count(StoredCheckpoint) == 1
        latest = worker_api.latest_checkpoint(queue.store, claim.job_id)
        assert latest is not None
        assert latest.id == whole


class TestRetries:
    @pytest.mark.parametrize("failure", FailureClass)
    def test_caps(self, queue: JobQueue, failure: FailureClass) -> None:
        claim = queue.running()
        for _ in range(RETRIES[failure].cap):
            assert queue.fail(claim, failure) is State.QUEUED
            claim = again(queue, claim)
        assert queue.fail(claim, failure) is State.FAILED
        job = queue.job(claim.job_id)
        assert job.error is not None
        assert job.error.startswith("it broke")
        assert queue.details(claim).attempts[-1].failure is failure

    def test_back_off(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.fail(claim)
        claim = queue.claim(claim.job_id)
        queue.fail(claim)
        assert not worker_api.runnable(queue.store, only=claim.job_id)
        assert "trying again in 2 s (2 of 5)" in queue.details(claim).events[-1].message
        claim = again(queue, claim)
        assert claim.attempt == 3

    def test_a_delayed_job_does_not_hold_up_the_others(self, queue: JobQueue) -> None:
        claim = queue.running()
        other = queue.submit().id
        queue.fail(claim)
        queue.fail(queue.claim(claim.job_id))
        assert queue.claim().job_id == other

    def test_progress_starts_a_new_count(self, queue: JobQueue) -> None:
        claim = queue.running()
        for step in range(10, 200, 10):
            queue.checkpoint(claim, step=step)
            assert queue.fail(claim) is State.QUEUED
            claim = again(queue, claim)

    def test_a_checkpoint_no_further_than_before_is_no_progress(self, queue: JobQueue) -> None:
        claim = queue.running()
        for _ in range(RETRIES[INFRASTRUCTURE].cap):
            queue.checkpoint(claim, step=10)
            assert queue.fail(claim) is State.QUEUED
            claim = again(queue, claim)
        queue.checkpoint(claim, step=10)
        assert queue.fail(claim) is State.FAILED

    def test_an_incomplete_checkpoint_is_no_progress(self, queue: JobQueue) -> None:
        claim = queue.running()
        for step in range(RETRIES[INFRASTRUCTURE].cap):
            worker_api.begin_checkpoint(queue.store, claim, step=step, epoch=0, size=1)
            queue.fail(claim)
            claim = again(queue, claim)
        assert queue.fail(claim) is State.FAILED

    def test_classes_count_apart(self, queue: JobQueue) -> None:
        claim = queue.running()
        assert queue.fail(claim, FailureClass.OUT_OF_MEMORY) is State.QUEUED
        claim = again(queue, claim)
        assert queue.fail(claim, FailureClass.STALLED) is State.QUEUED
        claim = again(queue, claim)
        assert queue.fail(claim, FailureClass.OUT_OF_MEMORY) is State.FAILED

    def test_retry_starts_a_new_count(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.fail(claim, FailureClass.OUT_OF_MEMORY)
        claim = again(queue, claim)
        assert queue.fail(claim, FailureClass.OUT_OF_MEMORY) is State.FAILED
        service.retry(queue.store, claim.job_id, ANN)
        claim = queue.claim(claim.job_id)
        assert queue.fail(claim, FailureClass.OUT_OF_MEMORY) is State.QUEUED

    @pytest.mark.parametrize(
        ("failure", "cancelled", "paused"),
        [
            (FailureClass.INFRASTRUCTURE, State.CANCELLED, State.PAUSED),
            (FailureClass.USER, State.CANCELLED, State.FAILED),
        ],
    )
    def test_requests_come_before_another_try(
        self, queue: JobQueue, failure: FailureClass, cancelled: State, paused: State
    ) -> None:
        claim = queue.running()
        service.request_cancel(queue.store, claim.job_id, ANN)
        assert queue.fail(claim, failure) is cancelled
        claim = queue.running()
        service.request_pause(queue.store, claim.job_id, ANN)
        assert queue.fail(claim, failure) is paused
