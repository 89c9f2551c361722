"""Which job gives up its place for an urgent one, and when none does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from people import ANN, BOB
from versemill.jobs import service
from versemill.jobs.devices import Device, DeviceNeeds
from versemill.jobs.execution import worker_api
from versemill.jobs.execution.preemption import FREE_PLACE_SECONDS, LEAST_RUN_SECONDS
from versemill.jobs.states import Priority, Request, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Attempt, Job, User, Worker

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord

URGENT = {"priority": Priority.URGENT}
LONG = 2 * LEAST_RUN_SECONDS


def running_on(
    queue: JobQueue, worker: WorkerRecord, *, seconds: float = LONG, **row: object
) -> Claim:
    """A job that has run on this worker for so long."""
    job = queue.submit(row=row)
    claim = worker_api.claim(queue.store, worker, only=job.id)
    assert claim is not None
    queue.change(Attempt, Attempt.job_id == job.id, started_at=db_now(-seconds))
    return claim


def asked(queue: JobQueue, claim: Claim) -> bool:
    return worker_api.read_request(queue.store, claim) is Request.PREEMPT


def end_as_asked(queue: JobQueue, claim: Claim) -> None:
    worker_api.finish(queue.store, claim, State.QUEUED, message="pre-empted at step 20")


def test_the_lowest_gives_way_and_keeps_its_place_in_the_queue(queue: JobQueue) -> None:
    low = running_on(queue, queue.worker(), priority=Priority.LOW)
    normal = running_on(queue, queue.worker())
    urgent = queue.submit(row=URGENT)
    waits = queue.submit()
    assert worker_api.preempt(queue.store) == low.job_id
    assert asked(queue, low)
    assert not asked(queue, normal)
    queued_at = _queued_at(queue, low)
    end_as_asked(queue, low)
    assert _queued_at(queue, low) == queued_at
    worker = replace(queue.worker(), id=low.worker_id)
    claim = worker_api.claim(queue.store, worker)
    assert claim is not None
    assert claim.job_id == urgent.id
    assert queue.job(waits.id).state == "queued"


def test_only_one_place_for_each_urgent_job(queue: JobQueue) -> None:
    for _ in range(2):
        running_on(queue, queue.worker())
    queue.submit(row=URGENT)
    assert worker_api.preempt(queue.store) is not None
    assert worker_api.preempt(queue.store) is None


def test_of_equals_the_one_of_the_heaviest_owner_gives_way(queue: JobQueue) -> None:
    running_on(queue, queue.worker())
    bobs = queue.claim(queue.submit(owner=BOB).id)
    queue.change(Attempt, Attempt.job_id == bobs.job_id, started_at=db_now(-10_000))
    queue.submit(row=URGENT)
    assert worker_api.preempt(queue.store) == bobs.job_id


def test_nobody_gives_way_while_a_place_is_free(queue: JobQueue) -> None:
    running_on(queue, queue.worker())
    queue.worker()
    queue.submit(row=URGENT)
    assert worker_api.preempt(queue.store) is None


def test_a_place_that_does_not_take_it_is_not_free(queue: JobQueue) -> None:
    """Its worker may have died a moment ago, and be listed for half a minute."""
    claim = running_on(queue, queue.worker())
    queue.worker()
    queued_at = db_now(-2 * FREE_PLACE_SECONDS)
    queue.submit(row={**URGENT, "queued_at": queued_at, "available_at": queued_at})
    assert worker_api.preempt(queue.store) == claim.job_id


def test_nor_while_a_place_becomes_free(queue: JobQueue) -> None:
    running_on(queue, queue.worker())
    leaving = running_on(queue, queue.worker())
    service.request_pause(queue.store, leaving.job_id, ANN)
    queue.submit(row=URGENT)
    assert worker_api.preempt(queue.store) is None


@pytest.mark.parametrize("priority", [Priority.LOW, Priority.NORMAL, Priority.HIGH])
def test_only_urgent_jobs_take_places(queue: JobQueue, priority: Priority) -> None:
    running_on(queue, queue.worker(), priority=Priority.LOW)
    queue.submit(row={"priority": priority})
    assert worker_api.preempt(queue.store) is None


def test_urgent_jobs_keep_theirs(queue: JobQueue) -> None:
    running_on(queue, queue.worker(), **URGENT)
    queue.submit(row=URGENT)
    assert worker_api.preempt(queue.store) is None


class TestPlacesThatCannotBeTaken:
    def test_of_a_job_that_somebody_runs_on_their_own_machine(self, queue: JobQueue) -> None:
        claim = running_on(queue, queue.worker())
        queue.change(Worker, Worker.id == claim.worker_id, only_job=claim.job_id)
        queue.submit(row=URGENT)
        assert worker_api.preempt(queue.store) is None

    def test_of_a_worker_that_is_drained(self, queue: JobQueue) -> None:
        claim = running_on(queue, queue.worker())
        queue.change(Worker, Worker.id == claim.worker_id, drained_by="ann")
        queue.submit(row=URGENT)
        assert worker_api.preempt(queue.store) is None

    def test_of_a_worker_without_the_plugins(self, queue: JobQueue) -> None:
        worker = replace(queue.worker(), plugins=())
        worker_api.heartbeat(queue.store, worker)
        claim = running_on(queue, queue.worker())
        queue.change(Job, Job.id == claim.job_id, worker_id=worker.id)
        queue.change(Worker, Worker.id == claim.worker_id, only_job=-1)
        queue.submit(row=URGENT)
        assert worker_api.preempt(queue.store) is None

    def test_where_the_device_would_still_be_too_small(self, queue: JobQueue) -> None:
        gpu = Device(id="GPU-1", kind="gpu", name="A", memory=8 * 10**9, free=10**9, max_jobs=4)
        worker = replace(queue.worker(), devices=(gpu,))
        worker_api.heartbeat(queue.store, worker)
        claim = running_on(queue, worker)
        queue.change(Attempt, device_kind="gpu", device_id="GPU-1", memory=10**9, memory_used=10**9)
        urgent = queue.submit(row=URGENT)
        with queue.store.unit_of_work() as uow:
            digest = keep_requirements(uow, (), DeviceNeeds(memory=3 * 10**9))
            uow.commit()
        queue.change(Job, Job.id == urgent.id, requirements=digest)
        assert worker_api.preempt(queue.store) is None
        queue.change(Attempt, memory=2 * 10**9, memory_used=2 * 10**9)
        assert worker_api.preempt(queue.store) == claim.job_id


class TestNoLoops:
    def test_a_job_has_some_time_to_run(self, queue: JobQueue) -> None:
        running_on(queue, queue.worker(), seconds=LEAST_RUN_SECONDS / 2)
        queue.submit(row=URGENT)
        assert worker_api.preempt(queue.store) is None

    def test_twice_as_long_each_time_it_has_given_way(self, queue: JobQueue) -> None:
        claim = running_on(queue, queue.worker(), seconds=1.5 * LEAST_RUN_SECONDS)
        urgent = queue.submit(row=URGENT)
        assert worker_api.preempt(queue.store) == claim.job_id
        end_as_asked(queue, claim)
        queue.change(Job, Job.id == urgent.id, state=State.CANCELLED)
        queue.change(Worker, only_job=-1)  # or there would be a free place
        again = queue.claim(claim.job_id)
        ran = {"started_at": db_now(-1.5 * LEAST_RUN_SECONDS)}
        queue.change(Attempt, Attempt.number == 2, **ran)
        queue.submit(row=URGENT)
        assert worker_api.preempt(queue.store) is None
        queue.change(Attempt, Attempt.number == 2, started_at=db_now(-3 * LEAST_RUN_SECONDS))
        assert worker_api.preempt(queue.store) == again.job_id


class TestWithdrawn:
    def test_when_the_urgent_job_has_started_elsewhere(self, queue: JobQueue) -> None:
        claim = running_on(queue, queue.worker())
        urgent = queue.submit(row=URGENT)
        assert worker_api.preempt(queue.store) == claim.job_id
        assert queue.claim(urgent.id).job_id == urgent.id
        assert not asked(queue, claim)
        assert "withdrawn" in queue.details(claim).events[-1].message

    def test_when_the_urgent_job_no_longer_waits(self, queue: JobQueue) -> None:
        claim = running_on(queue, queue.worker())
        urgent = queue.submit(row=URGENT)
        assert worker_api.preempt(queue.store) == claim.job_id
        service.request_cancel(queue.store, urgent.id, ANN)
        assert worker_api.preempt(queue.store) is None
        assert not asked(queue, claim)

    def test_when_the_job_cannot_give_way(self, queue: JobQueue) -> None:
        claim = running_on(queue, queue.worker())
        queue.submit(row=URGENT)
        worker_api.preempt(queue.store)
        worker_api.decline_preemption(queue.store, claim, "no durable checkpoint within 30 s")
        assert not asked(queue, claim)


@pytest.mark.parametrize("wanted", [Request.PAUSE, Request.CANCEL])
def test_what_people_want_is_stronger(queue: JobQueue, wanted: Request) -> None:
    claim = running_on(queue, queue.worker())
    queue.submit(row=URGENT)
    worker_api.preempt(queue.store)
    ask = service.request_pause if wanted is Request.PAUSE else service.request_cancel
    ask(queue.store, claim.job_id, ANN)
    assert worker_api.read_request(queue.store, claim) is wanted
    end_as_asked(queue, claim)
    assert queue.state(claim) is (State.PAUSED if wanted is Request.PAUSE else State.CANCELLED)


def test_limits_of_the_urgent_jobs_owner_hold(queue: JobQueue) -> None:
    running_on(queue, queue.worker())
    queue.submit(row=URGENT, owner=BOB)
    queue.change(User, User.name == "bob", running_limit=0)
    assert worker_api.preempt(queue.store) is None


def test_the_story_is_told_on_both_sides(queue: JobQueue) -> None:
    claim = running_on(queue, queue.worker())
    queue.checkpoint(claim, step=20)
    urgent = queue.submit("now", row=URGENT)
    worker_api.preempt(queue.store)
    end_as_asked(queue, claim)
    told = [event.message for event in queue.details(claim).events]
    assert f"for urgent job {urgent.id} (now, ann); it is normal" in told[-2]
    assert f"its place goes to urgent job {urgent.id}; 0 steps lost, " in told[-1]
    assert told[-1].endswith("s of device time given back, its place in the queue kept")
    events = service.details(queue.store, urgent.id).events
    assert f"job {claim.job_id} is asked to give up its place" in events[-1].message


def _queued_at(queue: JobQueue, claim: Claim) -> object:
    with queue.store.reading() as session:
        return session.scalar(select(Job.queued_at).where(Job.id == claim.job_id))
