"""The policy applied to the database: who is claimed next, and on which device."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from people import ANN, BOB
from versemill.jobs import service
from versemill.jobs.devices import ANY_CPU, Device, DeviceNeeds
from versemill.jobs.execution import worker_api
from versemill.jobs.states import Priority, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Attempt, Job, User

if TYPE_CHECKING:
    from collections.abc import Sequence

    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import Claim

GB = 10**9
GPU = Device(id="GPU-1", kind="gpu", name="NVIDIA A", memory=24 * GB, free=24 * GB, max_jobs=4)


def claims(queue: JobQueue, count: int) -> list[int]:
    worker = queue.worker()
    found = [worker_api.claim(queue.store, worker) for _ in range(count)]
    return [claim.job_id for claim in found if claim is not None]


def on(queue: JobQueue, *devices: Device, labels: Sequence[str] = ()) -> Claim | None:
    worker = replace(queue.worker(), labels=tuple(labels))
    return worker_api.claim(queue.store, worker, devices=devices)


def needing(queue: JobQueue, **needs: object) -> int:
    """A job that needs this of its device."""
    job = queue.submit()
    with queue.store.unit_of_work() as uow:
        digest = keep_requirements(uow, (), DeviceNeeds(**needs))  # type: ignore[arg-type]
        uow.commit()
    queue.change(Job, Job.id == job.id, requirements=digest)
    return job.id


class TestOrder:
    def test_priority_first(self, queue: JobQueue) -> None:
        jobs = [queue.submit(row={"priority": priority}).id for priority in Priority]
        assert claims(queue, 5) == jobs[::-1]

    def test_owners_take_turns(self, queue: JobQueue) -> None:
        anns = [queue.submit(owner=ANN).id for _ in range(3)]
        bobs = [queue.submit(owner=BOB).id for _ in range(3)]
        order = claims(queue, 6)
        assert order == [each for pair in zip(anns, bobs, strict=True) for each in pair]

    def test_a_job_that_is_held_hides_nobody(self, queue: JobQueue) -> None:
        queue.submit(row={"held": True})
        queue.submit(row={"available_at": db_now(60)})
        queue.submit(row={"queued_at": db_now(60)})
        free = queue.submit().id
        assert claims(queue, 3) == [free]

    def test_one_without_recorded_requirements_hides_nobody(self, queue: JobQueue) -> None:
        queue.submit(row={"requirements": None})
        free = queue.submit().id
        assert claims(queue, 2) == [free]

    def test_one_that_nobody_can_run_hides_nobody(self, queue: JobQueue) -> None:
        needing(queue, labels=("attic",))
        free = queue.submit().id
        assert claims(queue, 2) == [free]


class TestLimits:
    @pytest.mark.parametrize("limit", [0, 1, 2])
    def test_of_running_jobs(self, queue: JobQueue, limit: int) -> None:
        anns = [queue.submit(owner=ANN).id for _ in range(3)]
        bobs = queue.submit(owner=BOB).id
        queue.change(User, User.name == "ann", running_limit=limit)
        assert sorted(claims(queue, 4)) == [*anns[:limit], bobs]

    def test_of_gpus_by_their_shares(self, queue: JobQueue) -> None:
        for _ in range(4):
            needing(queue, memory=12 * GB)
        queue.change(User, gpu_limit=1)
        assert on(queue, GPU) is not None
        assert on(queue, GPU) is not None  # half of a GPU each
        other = replace(GPU, id="GPU-2")
        assert on(queue, other) is None

    def test_jobs_of_disabled_owners_wait(self, queue: JobQueue) -> None:
        claim = queue.claim(queue.submit(owner=ANN).id)
        queue.submit(owner=ANN)
        bobs = queue.submit(owner=BOB).id
        queue.change(User, User.name == "ann", disabled=True)
        assert claims(queue, 2) == [bobs]
        worker_api.renew(queue.store, claim)  # what runs goes on

    def test_hold_for_one_job_too(self, queue: JobQueue) -> None:
        job = queue.submit().id
        queue.change(User, running_limit=0)
        assert worker_api.claim(queue.store, queue.worker(), only=job) is None


class TestDevices:
    def test_several_jobs_share_a_gpu_as_far_as_memory_allows(self, queue: JobQueue) -> None:
        for _ in range(3):
            needing(queue, memory=10 * GB)
        first, second, third = (on(queue, GPU) for _ in range(3))
        assert first is not None
        assert second is not None
        assert third is None  # nobody has taken any yet, but 20 GB are promised

    def test_what_was_taken_is_not_counted_twice(self, queue: JobQueue) -> None:
        for _ in range(2):
            needing(queue, memory=10 * GB)
        assert on(queue, GPU) is not None
        queue.change(Attempt, memory_used=10 * GB)
        assert on(queue, replace(GPU, free=10 * GB)) is not None

    def test_memory_held_outside_the_queue_is_not_free(self, queue: JobQueue) -> None:
        needing(queue, memory=10 * GB)
        assert on(queue, replace(GPU, free=9 * GB)) is None
        assert on(queue, replace(GPU, free=10 * GB)) is not None

    def test_no_more_jobs_than_places(self, queue: JobQueue) -> None:
        for _ in range(3):
            needing(queue, memory=1)
        two = replace(GPU, max_jobs=2)
        assert [on(queue, two) is not None for _ in range(3)] == [True, True, False]

    def test_an_exclusive_job_has_it_alone(self, queue: JobQueue) -> None:
        needing(queue, exclusive=True)
        needing(queue, memory=1)
        assert on(queue, GPU) is not None
        assert on(queue, GPU) is None

    def test_jobs_of_several_workers_on_one_gpu_are_counted_together(self, queue: JobQueue) -> None:
        for _ in range(2):
            needing(queue, memory=20 * GB)
        assert on(queue, GPU) is not None
        assert on(queue, GPU) is None  # `on` is another worker each time

    def test_the_fullest_gpu_that_will_do_is_taken(self, queue: JobQueue) -> None:
        needing(queue, memory=4 * GB)
        fuller = replace(GPU, id="GPU-2", free=5 * GB)
        claim = on(queue, GPU, fuller)
        assert claim is not None
        assert claim.device.id == "GPU-2"

    @pytest.mark.parametrize(
        ("needs", "fits"),
        [
            ({"kind": "cpu"}, False),
            ({"kind": "gpu"}, True),
            ({"min_memory": 24 * GB}, True),
            ({"min_memory": 25 * GB}, False),
            ({"name": "nvidia a"}, True),
            ({"name": "H100"}, False),
            ({"labels": ("fast",)}, True),
            ({"labels": ("fast", "attic")}, False),
        ],
    )
    def test_requirements(self, queue: JobQueue, needs: dict[str, object], fits: bool) -> None:
        needing(queue, **needs)
        assert (on(queue, GPU, labels=["fast"]) is not None) is fits

    @pytest.mark.parametrize("needs", [{"kind": "gpu"}, {"exclusive": True}, {"min_memory": 1}])
    def test_a_job_for_gpus_is_not_run_on_a_cpu(
        self, queue: JobQueue, needs: dict[str, object]
    ) -> None:
        needing(queue, **needs)
        assert on(queue, ANY_CPU) is None


class TestKeepingAGpuFree:
    def test_a_job_that_needs_it_whole_starts_although_small_ones_keep_coming(
        self, queue: JobQueue
    ) -> None:
        needing(queue, memory=GB)
        small = on(queue, GPU)
        assert small is not None
        large = needing(queue, exclusive=True)
        queue.change(Job, Job.id == large, queued_at=db_now(-120), available_at=db_now(-120))
        needing(queue, memory=GB)
        assert on(queue, GPU) is None  # it is kept free from now on
        worker_api.finish(queue.store, small, State.SUCCEEDED, message="done")
        claim = on(queue, GPU)
        assert claim is not None
        assert claim.job_id == large

    def test_it_is_let_go_when_the_job_no_longer_waits(self, queue: JobQueue) -> None:
        needing(queue, memory=GB)
        assert on(queue, GPU) is not None
        large = needing(queue, exclusive=True)
        queue.change(Job, Job.id == large, queued_at=db_now(-120), available_at=db_now(-120))
        needing(queue, memory=GB)
        assert on(queue, GPU) is None
        service.request_cancel(queue.store, large, ANN)
        assert on(queue, GPU) is not None
