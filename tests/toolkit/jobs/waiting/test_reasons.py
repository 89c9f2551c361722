"""Each waiting job says why, where it stands and when it may start."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, update

from job_queue import CONFIG, TEXT
from people import ANN, BOB
from versemill.jobs import service
from versemill.jobs.devices import GPU, Device, DeviceNeeds
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Submission
from versemill.jobs.states import Priority, Role, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Attempt, Dependency, DeviceHold, Job, Reservation, User

if TYPE_CHECKING:
    from sqlalchemy import Update

    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord
    from versemill.jobs.service import Principal
    from versemill.jobs.views import JobView

GB = 1_000_000_000


def gpu(number: int, *, memory: int = 16, free: int = 16, max_jobs: int = 4) -> Device:
    return Device(
        id=f"GPU-{number}", kind=GPU, name="NVIDIA Test", index=number,
        memory=memory * GB, free=free * GB, max_jobs=max_jobs,
    )  # fmt: skip


def worker(
    queue: JobQueue, *devices: Device, slots: int = 1, labels: tuple[str, ...] = ()
) -> WorkerRecord:
    record = worker_api.register_worker(queue.store, "w1", slots, labels=labels)
    record = replace(record, devices=devices or None)
    worker_api.heartbeat(queue.store, record)
    return record


def submitted(queue: JobQueue, who: Principal = ANN, needs: DeviceNeeds | None = None) -> JobView:
    job = service.enqueue(queue.store, Submission(config=CONFIG, text=TEXT, plugins=[]), who).job
    if needs is not None:
        with queue.store.unit_of_work() as uow:
            digest = keep_requirements(uow, (), needs)
            uow.execute(update(Job).where(Job.id == job.id).values(requirements=digest))
            uow.commit()
    return job


def changed(queue: JobQueue, *statements: Update) -> None:
    with queue.store.unit_of_work() as uow:
        for statement in statements:
            uow.execute(statement)
        uow.commit()


def owner(name: str, **values: Any) -> Update:
    return update(User).where(User.name == name).values(values)


def claimed(queue: JobQueue, by: WorkerRecord) -> Claim:
    found = worker_api.claim(queue.store, by, **({"devices": by.devices} if by.devices else {}))
    assert found is not None
    return found


def listed(queue: JobQueue, job: JobView) -> JobView:
    return next(each for each in service.jobs(queue.store) if each.id == job.id)


def test_the_first_says_that_all_are_busy_and_others_who_is_before_them(queue: JobQueue) -> None:
    by = worker(queue)
    submitted(queue)
    claimed(queue, by)
    first, second, third = submitted(queue), submitted(queue), submitted(queue, BOB)
    shown = {job.id: job for job in service.jobs(queue.store)}
    assert shown[third.id].position == 1
    assert shown[third.id].reason == "every worker is busy (1 slot): the job waits its turn"
    assert (shown[first.id].position, shown[second.id].position) == (2, 3)
    assert shown[first.id].reason == "behind 1 job of 1 owner"
    assert shown[second.id].reason == "behind 2 jobs of 2 owners"


def test_positions_are_the_order_in_which_jobs_are_claimed(queue: JobQueue) -> None:
    by = worker(queue, slots=100)
    ids = [submitted(queue, who).id for who in (ANN, ANN, BOB, ANN, BOB, ANN)]
    changed(queue, update(Job).where(Job.id == ids[4]).values(priority=Priority.HIGH))
    ranked = sorted(service.jobs(queue.store), key=lambda job: job.position or 0)
    assert [job.id for job in ranked] == [claimed(queue, by).job_id for _ in ids]


def test_a_free_slot_is_no_reason(queue: JobQueue) -> None:
    worker(queue)
    job = listed(queue, submitted(queue))
    assert (job.position, job.reason) == (1, None)
    assert job.expected_start is not None
    earliest, latest = job.expected_start
    assert latest - earliest == timedelta(seconds=30)


def test_a_running_limit_hides_nobody_and_is_named(queue: JobQueue) -> None:
    by = worker(queue, slots=2)
    submitted(queue)
    claimed(queue, by)
    changed(queue, owner("ann", running_limit=1))
    mine, other = submitted(queue), submitted(queue, BOB)
    assert listed(queue, mine).reason == "the running limit of 1 of ann is reached"
    assert (listed(queue, other).position, listed(queue, other).reason) == (1, None)


def test_a_limit_of_none_running_says_so_and_expects_nothing(queue: JobQueue) -> None:
    worker(queue)
    job = submitted(queue)
    changed(queue, owner("ann", running_limit=0))
    assert listed(queue, job).reason == "ann may have no job running (running limit of 0)"
    assert listed(queue, job).expected_start is None


def test_the_jobs_of_a_disabled_owner_are_held(queue: JobQueue) -> None:
    worker(queue)
    job = submitted(queue)
    changed(queue, owner("ann", disabled=True))
    shown = listed(queue, job)
    assert shown.reason == "its owner ann is disabled: their jobs are held"
    assert (shown.position, shown.expected_start) == (None, None)


def test_a_gpu_limit_says_how_much_is_held(queue: JobQueue) -> None:
    by = worker(queue, gpu(0), slots=2)
    submitted(queue, needs=DeviceNeeds(kind=GPU, memory=4 * GB))
    claimed(queue, by)
    changed(queue, owner("ann", gpu_limit=1))
    job = submitted(queue, needs=DeviceNeeds(kind=GPU, exclusive=True))
    assert listed(queue, job).reason == (
        "the GPU limit of 1 of ann is reached: 0.25 held, 1 more needed"
    )


def test_too_little_memory_says_how_much_is_free_and_who_uses_it(queue: JobQueue) -> None:
    worker(queue, gpu(1, free=4), gpu(2, free=6))
    job = submitted(queue, needs=DeviceNeeds(memory=9 * GB))
    assert listed(queue, job).reason == (
        "needs 9 GB, the largest free is 6 GB on gpu-2 of worker w1 "
        "(10 GB used by processes outside the queue)"
    )


def test_memory_promised_to_a_running_job_is_not_free(queue: JobQueue) -> None:
    by = worker(queue, gpu(0), slots=2)
    submitted(queue, needs=DeviceNeeds(memory=9 * GB))
    claimed(queue, by)
    job = submitted(queue, needs=DeviceNeeds(memory=9 * GB))
    assert listed(queue, job).reason == (
        "needs 9 GB, the largest free is 7 GB on gpu-0 of worker w1"
    )


def test_a_job_that_needs_a_gpu_alone_says_so(queue: JobQueue) -> None:
    by = worker(queue, gpu(0), slots=2)
    submitted(queue, needs=DeviceNeeds(memory=GB))
    claimed(queue, by)
    job = submitted(queue, needs=DeviceNeeds(exclusive=True))
    assert listed(queue, job).reason == (
        "needs a GPU for itself, and other jobs run on each that suits it"
    )


def test_a_gpu_with_as_many_jobs_as_it_takes_says_so(queue: JobQueue) -> None:
    by = worker(queue, gpu(0, max_jobs=1), slots=2)
    submitted(queue)
    claimed(queue, by)
    assert listed(queue, submitted(queue)).reason == (
        "every GPU that suits it has as many jobs as it takes"
    )


def test_a_gpu_kept_for_another_says_for_which(queue: JobQueue) -> None:
    worker(queue, gpu(0))
    whole, small = submitted(queue), submitted(queue)
    changed(queue, insert(DeviceHold).values(device_id="GPU-0", job_id=whole.id))  # type: ignore[arg-type]
    assert listed(queue, small).reason == (
        f"the GPUs that suit it are kept free for job {whole.id}"
    )
    assert listed(queue, whole).reason is None


def test_a_gpu_that_others_use_is_left_alone_where_its_worker_says_so(queue: JobQueue) -> None:
    worker(queue, replace(gpu(0, free=10), avoid_foreign=True))
    job = submitted(queue, needs=DeviceNeeds(memory=GB))
    assert listed(queue, job).reason == (
        "gpu-0 of worker w1 is left alone while processes outside the queue use it (6 GB)"
    )


def test_a_reserved_place_says_for_whom_and_how_long(queue: JobQueue) -> None:
    worker(queue)
    mine, theirs = submitted(queue), submitted(queue, BOB)
    with queue.store.unit_of_work() as uow:
        bob = uow.session.scalar(select(User.id).where(User.name == "bob"))
        times = {"starts_at": db_now(-60.0), "ends_at": db_now(3600.0)}
        row = {"target": "w1", "owner_id": bob, "created_by": "ann", **times}
        uow.execute(insert(Reservation).values(row))
        ends_at = uow.session.scalar(select(Reservation.ends_at))
        uow.commit()
    assert ends_at is not None
    assert listed(queue, mine).reason == (
        f"worker w1 is reserved for bob until {ends_at.astimezone():%Y-%m-%d %H:%M}"
    )
    assert (listed(queue, theirs).position, listed(queue, theirs).reason) == (1, None)


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        (DeviceNeeds(kind=GPU), "CPU of worker w1: it is a CPU"),
        (DeviceNeeds(labels=("big",)), "CPU of worker w1: its worker lacks the label 'big'"),
    ],
)
def test_what_no_worker_can_run_says_why(queue: JobQueue, needs: DeviceNeeds, why: str) -> None:
    worker(queue)
    shown = listed(queue, submitted(queue, needs=needs))
    assert shown.reason == f"no worker can run this: {why}"
    assert (shown.position, shown.expected_start) == (None, None)


def test_what_no_worker_can_run_is_before_nobody(queue: JobQueue) -> None:
    by = worker(queue)
    submitted(queue)
    claimed(queue, by)
    submitted(queue, needs=DeviceNeeds(kind=GPU))
    assert listed(queue, submitted(queue)).position == 1


def test_a_job_that_begins_later_says_when(queue: JobQueue) -> None:
    worker(queue)
    job = submitted(queue)
    at = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
    times = {"begin_at": at, "available_at": at, "queued_at": at}
    changed(queue, update(Job).where(Job.id == job.id).values(times))
    shown = listed(queue, job)
    assert shown.reason == f"held until {at.astimezone():%Y-%m-%d %H:%M}"
    assert shown.position is None
    assert shown.expected_start is not None
    assert shown.expected_start[0] <= at <= shown.expected_start[1]


def test_a_held_job_names_those_it_waits_for(queue: JobQueue) -> None:
    worker(queue)
    before, job = submitted(queue), submitted(queue)
    with queue.store.unit_of_work() as uow:
        row = {"job_id": job.id, "after_id": before.id, "condition": "succeeded"}
        uow.execute(insert(Dependency).values(row))
        uow.execute(update(Job).where(Job.id == job.id).values(held=True))
        uow.commit()
    assert listed(queue, job).reason == (
        f"waits for job {before.id} ({before.name}), which is queued"
    )
    assert listed(queue, before).position == 1


def test_a_kept_place_is_named(queue: JobQueue) -> None:
    by = worker(queue)
    submitted(queue)
    claimed(queue, by)
    job = submitted(queue)
    changed(queue, update(Job).where(Job.id == job.id).values(place_worker_id=by.id))
    assert listed(queue, job).reason == (
        "a place is kept for it on worker w1, once another job has given it up"
    )


def test_workers_that_end_take_nothing(queue: JobQueue) -> None:
    worker(queue)
    job = submitted(queue)
    service.drain(queue.store, "w1", ANN)
    assert listed(queue, job).reason == (
        "every live worker is ending, or works for one other job (w1)"
    )


class TestExpectedStart:
    def test_nothing_is_expected_where_nothing_is_known(self, queue: JobQueue) -> None:
        by = worker(queue)
        submitted(queue)
        claimed(queue, by)
        assert listed(queue, submitted(queue)).expected_start is None

    def test_it_follows_from_what_runs_and_how_long_others_took(self, queue: JobQueue) -> None:
        by = worker(queue)
        submitted(queue)
        done = claimed(queue, by)
        worker_api.finish(queue.store, done, State.SUCCEEDED, message="done")
        changed(
            queue,
            update(Attempt).values(started_at=db_now(-200.0), ended_at=db_now(-100.0)),
        )
        submitted(queue)
        runs = claimed(queue, by)
        changed(queue, update(Job).where(Job.id == runs.job_id).values(seconds_left=60.0))
        first, second = submitted(queue), submitted(queue)
        for job, seconds in ((first, 60), (second, 160)):
            expected = listed(queue, job).expected_start
            assert expected is not None
            with queue.store.reading() as session:
                now = session.scalar(select(db_now()))
            assert now is not None
            earliest, latest = ((each - now).total_seconds() for each in expected)
            assert earliest <= seconds <= latest
            assert latest <= 2 * earliest + 35  # a moment has passed since

    def test_a_running_limit_delays_its_owner(self, queue: JobQueue) -> None:
        by = worker(queue, slots=2)
        submitted(queue)
        runs = claimed(queue, by)
        changed(
            queue,
            owner("ann", running_limit=1),
            update(Job).where(Job.id == runs.job_id).values(seconds_left=1000.0),
        )
        expected = listed(queue, submitted(queue)).expected_start
        assert expected is not None
        assert expected[0] > datetime.now(UTC) + timedelta(seconds=500)


def why(queue: JobQueue, job: JobView) -> str:
    return str(listed(queue, job).reason)


def test_a_reserved_place_says_for_whom_and_until_when(queue: JobQueue) -> None:
    worker(queue, gpu(1))
    job = submitted(queue)
    service.add_user(queue.store, "bob", Role.MEMBER, ANN)
    service.reserve(queue.store, "GPU-1", ANN, starts_in=0, ends_in=3600, owner="bob")
    assert "gpu-1 of worker w1 is reserved for bob until 20" in why(queue, job)
    bobs = submitted(queue, BOB)
    assert "reserved" not in why(queue, bobs)


def test_gpus_that_cannot_be_measured_are_said(queue: JobQueue) -> None:
    record = worker_api.register_worker(queue.store, "w1", 1)
    worker_api.heartbeat(queue.store, replace(record, devices=()))
    assert "their GPUs cannot be measured now" in why(queue, submitted(queue))
