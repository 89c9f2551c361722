"""A job goes on where it goes on bit for bit, and says why it waits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.notices import NoWorker, OtherMachines, RetryDelayed, WorkersBusy
from versemill.jobs.states import State

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord

OLD, NEW = "cpu AVX2, torch 2.12.0", "cpu AVX512, torch 2.13.0"


def machine(queue: JobQueue, plan: str) -> WorkerRecord:
    worker = replace(queue.worker(), machines=[plan])
    worker_api.heartbeat(queue.store, worker)
    return worker


def claimed(queue: JobQueue, plan: str | None) -> Claim | None:
    worker = queue.worker() if plan is None else machine(queue, plan)
    return worker_api.claim(queue.store, worker, machine=plan)


def left_by(queue: JobQueue, plan: str) -> Claim:
    """A job handed over after a checkpoint on a machine of kind `plan`."""
    queue.submit()
    claim = claimed(queue, plan)
    assert claim is not None
    queue.checkpoint(claim, step=20)
    worker_api.finish(queue.store, claim, State.QUEUED, message="handed over")
    return claim


def test_a_new_job_goes_anywhere(queue: JobQueue) -> None:
    queue.submit()
    assert claimed(queue, NEW) is not None


def test_a_job_with_a_checkpoint_is_left_to_its_kind(queue: JobQueue) -> None:
    claim = left_by(queue, OLD)
    assert not worker_api.runnable(queue.store, machines=[NEW])
    assert claimed(queue, NEW) is None
    assert worker_api.runnable(queue.store, machines=[NEW, OLD])
    again = claimed(queue, OLD)
    assert again is not None
    assert again.job_id == claim.job_id


def test_it_does_not_hold_up_those_behind_it(queue: JobQueue) -> None:
    left_by(queue, OLD)
    behind = queue.submit()
    found = claimed(queue, NEW)
    assert found is not None
    assert found.job_id == behind.id


def test_inexact_goes_anywhere_and_says_so(queue: JobQueue) -> None:
    claim = left_by(queue, OLD)
    service.request_pause(queue.store, claim.job_id, ANN)
    service.resume(queue.store, claim.job_id, ANN, inexact=True)
    again = claimed(queue, NEW)
    assert again is not None
    worker_api.rewind(queue.store, again, epoch=2, step=20, checkpoint_id=1)
    assert queue.details(again).events[-1].message == (
        f"resumed from step 20; inexactly: made on {OLD}, goes on on {NEW}"
    )
    queue.checkpoint(again, step=30)
    assert queue.details(again).machine == NEW


def test_from_the_beginning_nothing_binds_it(queue: JobQueue) -> None:
    claim = left_by(queue, OLD)
    again = claimed(queue, OLD)
    assert again is not None
    worker_api.rewind(queue.store, again, epoch=0, step=0)
    worker_api.finish(queue.store, again, State.FAILED, message="for a test")
    assert queue.details(claim).machine is None


def test_nor_after_a_retry_from_scratch(queue: JobQueue) -> None:
    claim = left_by(queue, OLD)
    service.request_cancel(queue.store, claim.job_id, ANN)
    service.retry(queue.store, claim.job_id, ANN, from_scratch=True)
    assert claimed(queue, NEW) is not None


class TestWaiting:
    def test_without_a_worker(self, queue: JobQueue) -> None:
        job = queue.submit()
        assert service.waiting(queue.store, job.id) == NoWorker()

    def test_without_a_machine_of_its_kind(self, queue: JobQueue) -> None:
        claim = left_by(queue, OLD)
        for worker in service.live_workers(queue.store):
            worker_api.forget_worker(queue.store, _record(worker.id))
        machine(queue, NEW)
        assert service.details(queue.store, claim.job_id).waiting == OtherMachines(machine=OLD)

    def test_behind_busy_workers(self, queue: JobQueue) -> None:
        queue.running()
        job = queue.submit()
        assert service.waiting(queue.store, job.id) == WorkersBusy(slots=1)

    def test_for_its_back_off(self, queue: JobQueue) -> None:
        claim = queue.running()
        for _ in range(2):
            queue.fail(claim)
            queue.skip_delay(claim)
            claim = queue.claim()
        queue.fail(claim)
        why = service.waiting(queue.store, claim.job_id)
        assert isinstance(why, RetryDelayed)
        assert str(why) == f"it is tried again in {why.seconds:.0f} s"

    def test_not_while_a_slot_is_free(self, queue: JobQueue) -> None:
        job = queue.submit()
        queue.worker()
        assert service.waiting(queue.store, job.id) is None

    def test_not_when_it_is_no_longer_queued(self, queue: JobQueue) -> None:
        assert service.waiting(queue.store, queue.running().job_id) is None


def _record(worker_id: str) -> WorkerRecord:
    return worker_api.WorkerRecord(id=worker_id, name="", host="", pid=0, slots=1, version="")
