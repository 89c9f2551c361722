"""A job goes on where it goes on bit for bit, and says why it waits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from people import ANN
from versemill.jobs import service
from versemill.jobs.devices import ANY_CPU, Device
from versemill.jobs.execution import worker_api
from versemill.jobs.notices import NoWorker, OtherMachines, RetryDelayed, WorkersBusy
from versemill.jobs.states import State

if TYPE_CHECKING:
    from jobs_floor import Floor
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord

OLD, NEW = "cpu AVX2, torch 2.12.0", "cpu AVX512, torch 2.13.0"


def machine(floor: Floor, plan: str) -> WorkerRecord:
    worker = replace(floor.worker(), machines=[plan])
    worker_api.beat(floor.store, worker)
    return worker


def devices(*kinds: str) -> tuple[Device, ...]:
    return tuple(replace(ANY_CPU, machine=kind) for kind in kinds)


def claimed(floor: Floor, plan: str | None) -> Claim | None:
    worker = floor.worker() if plan is None else machine(floor, plan)
    return worker_api.claim(floor.store, worker, devices=(replace(ANY_CPU, machine=plan),))


def left_by(floor: Floor, plan: str) -> Claim:
    """A job handed over after a checkpoint on a machine of kind `plan`."""
    floor.submit()
    claim = claimed(floor, plan)
    assert claim is not None
    floor.checkpoint(claim, step=20)
    worker_api.finish(floor.store, claim, State.QUEUED, message="handed over")
    return claim


def test_a_new_job_goes_anywhere(floor: Floor) -> None:
    floor.submit()
    assert claimed(floor, NEW) is not None


def test_a_job_with_a_checkpoint_is_left_to_its_kind(floor: Floor) -> None:
    claim = left_by(floor, OLD)
    assert not worker_api.runnable(floor.store, floor.worker(), devices=devices(NEW))
    assert claimed(floor, NEW) is None
    assert worker_api.runnable(floor.store, floor.worker(), devices=devices(NEW, OLD))
    again = claimed(floor, OLD)
    assert again is not None
    assert again.job_id == claim.job_id


def test_it_does_not_hold_up_those_behind_it(floor: Floor) -> None:
    left_by(floor, OLD)
    behind = floor.submit()
    found = claimed(floor, NEW)
    assert found is not None
    assert found.job_id == behind.id


def test_inexact_goes_anywhere_and_says_so(floor: Floor) -> None:
    claim = left_by(floor, OLD)
    service.request_pause(floor.store, claim.job_id, ANN)
    service.resume(floor.store, claim.job_id, ANN, inexact=True)
    again = claimed(floor, NEW)
    assert again is not None
    worker_api.rewind(floor.store, again, epoch=2, step=20, checkpoint_id=1)
    assert floor.details(again).events[-1].message == (
        f"resumed from step 20; inexactly: made on {OLD}, goes on on {NEW}"
    )
    floor.checkpoint(again, step=30)
    assert floor.details(again).machine == NEW


def test_from_the_beginning_nothing_binds_it(floor: Floor) -> None:
    claim = left_by(floor, OLD)
    again = claimed(floor, OLD)
    assert again is not None
    worker_api.rewind(floor.store, again, epoch=0, step=0)
    worker_api.finish(floor.store, again, State.FAILED, message="for a test")
    assert floor.details(claim).machine is None


def test_nor_after_a_retry_from_scratch(floor: Floor) -> None:
    claim = left_by(floor, OLD)
    service.request_cancel(floor.store, claim.job_id, ANN)
    service.retry(floor.store, claim.job_id, ANN, from_scratch=True)
    assert claimed(floor, NEW) is not None


class TestWaiting:
    def test_without_a_worker(self, floor: Floor) -> None:
        job = floor.submit()
        assert service.waiting(floor.store, job.id) == NoWorker()

    def test_without_a_machine_of_its_kind(self, floor: Floor) -> None:
        claim = left_by(floor, OLD)
        for worker in service.live_workers(floor.store):
            worker_api.forget_worker(floor.store, _record(worker.id))
        machine(floor, NEW)
        assert service.details(floor.store, claim.job_id).waiting == OtherMachines(machine=OLD)

    def test_behind_busy_workers(self, floor: Floor) -> None:
        floor.running()
        job = floor.submit()
        assert service.waiting(floor.store, job.id) == WorkersBusy(slots=1)

    def test_for_its_back_off(self, floor: Floor) -> None:
        claim = floor.running()
        for _ in range(2):
            floor.fail(claim)
            floor.hurry(claim)
            claim = floor.claim()
        floor.fail(claim)
        why = service.waiting(floor.store, claim.job_id)
        assert isinstance(why, RetryDelayed)
        assert str(why) == f"it is tried again in {why.seconds:.0f} s"

    def test_not_while_a_slot_is_free(self, floor: Floor) -> None:
        job = floor.submit()
        floor.worker()
        assert service.waiting(floor.store, job.id) is None

    def test_not_when_it_is_no_longer_queued(self, floor: Floor) -> None:
        assert service.waiting(floor.store, floor.running().job_id) is None


def _record(worker_id: str) -> WorkerRecord:
    return worker_api.WorkerRecord(id=worker_id, name="", host="", pid=0, slots=1, version="")
