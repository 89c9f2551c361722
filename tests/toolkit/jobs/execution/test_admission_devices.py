"""Several jobs on a GPU as far as its memory allows, over all workers, with simulated devices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gpus import GB, GPU, claim, submit
from job_queue import metric
from versemill.jobs.devices import ANY_CPU
from versemill.jobs.execution import worker_api
from versemill.jobs.states import FailureClass, State
from versemill.jobs.storage.tables import DeviceHold

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord


def started(queue: JobQueue, worker: WorkerRecord, *gpus: GPU) -> Claim:
    found = claim(queue.store, worker, *gpus)
    assert found is not None
    return found


def test_jobs_start_as_long_as_memory_lasts(queue: JobQueue) -> None:
    worker, gpu = queue.worker(), GPU()
    for _ in range(3):
        submit(queue.store, memory=30 * GB)
    assert started(queue, worker, gpu).device.id == "GPU-1"
    started(queue, worker, gpu)  # promised 60 of 80 GB by now, though nothing of it is taken yet
    assert claim(queue.store, worker, gpu) is None


def test_what_is_promised_to_jobs_of_other_workers_counts(queue: JobQueue) -> None:
    gpu = GPU()
    for _ in range(3):
        submit(queue.store, memory=30 * GB)
    assert started(queue, queue.worker(), gpu)
    assert started(queue, queue.worker(), gpu)
    assert claim(queue.store, queue.worker(), gpu) is None
    assert claim(queue.store, queue.worker(), GPU(id="GPU-2")) is not None


def test_memory_taken_is_not_counted_twice(queue: JobQueue) -> None:
    worker, gpu = queue.worker(), GPU()
    submit(queue.store, memory=30 * GB)
    submit(queue.store, memory=45 * GB)
    first = started(queue, worker, gpu)
    gpu.takes(queue.store, first, 30 * GB)
    assert gpu.measure().free == 50 * GB
    assert claim(queue.store, worker, gpu) is not None


def test_a_job_that_takes_more_than_promised_leaves_less_to_others(queue: JobQueue) -> None:
    worker, gpu = queue.worker(), GPU()
    submit(queue.store, memory=10 * GB)
    submit(queue.store, memory=30 * GB)
    gpu.takes(queue.store, started(queue, worker, gpu), 55 * GB)
    assert claim(queue.store, worker, gpu) is None
    gpu.taken.clear()
    assert claim(queue.store, worker, gpu) is not None


def test_memory_that_outsiders_take_and_free_again(queue: JobQueue) -> None:
    worker, gpu = queue.worker(), GPU(foreign=60 * GB)
    submit(queue.store, memory=30 * GB)
    assert claim(queue.store, worker, gpu) is None
    gpu.foreign = 0
    assert claim(queue.store, worker, gpu) is not None


def test_a_gpu_has_no_more_jobs_than_it_may(queue: JobQueue) -> None:
    worker, gpu = queue.worker(), GPU()
    for _ in range(5):
        submit(queue.store, memory=GB)
    running = [started(queue, worker, gpu) for _ in range(4)]
    assert [queue.details(each).attempts[0].number for each in running] == [1] * 4
    assert claim(queue.store, worker, gpu) is None


def test_the_fullest_gpu_on_which_a_job_fits_is_chosen(queue: JobQueue) -> None:
    worker, first, second = queue.worker(), GPU(), GPU(id="GPU-2")
    for size in (30, 40, 70):
        submit(queue.store, memory=size * GB)
    ids = [started(queue, worker, first, second).device.id for _ in range(3)]
    assert ids[0] == ids[1] != ids[2]


def test_a_job_that_wants_a_gpu_alone(queue: JobQueue) -> None:
    worker, gpu = queue.worker(), GPU()
    small = submit(queue.store, memory=GB)
    submit(queue.store, memory=GB, exclusive=True)
    first = started(queue, worker, gpu)
    assert first.job_id == small.id
    assert claim(queue.store, worker, gpu) is None
    worker_api.finish(queue.store, first, State.SUCCEEDED, message="done")
    alone = started(queue, worker, gpu)
    submit(queue.store, memory=GB)
    assert claim(queue.store, worker, gpu) is None
    worker_api.finish(queue.store, alone, State.SUCCEEDED, message="done")
    assert claim(queue.store, worker, gpu) is not None


def test_a_job_for_the_cpu_never_takes_a_gpu(queue: JobQueue) -> None:
    worker = queue.worker()
    job = submit(queue.store, kind="cpu")
    assert claim(queue.store, worker, GPU()) is None
    found = worker_api.claim(queue.store, worker, devices=[ANY_CPU])
    assert found is not None
    assert (found.job_id, found.device.kind) == (job.id, "cpu")


def test_a_job_for_a_gpu_takes_no_cpu(queue: JobQueue) -> None:
    submit(queue.store, kind="gpu")
    assert worker_api.claim(queue.store, queue.worker(), devices=[ANY_CPU]) is None
    assert claim(queue.store, queue.worker(), GPU()) is not None


def test_estimates_of_gpu_memory_do_not_keep_a_job_from_a_cpu(queue: JobQueue) -> None:
    submit(queue.store, memory=900 * GB)
    assert worker_api.claim(queue.store, queue.worker(), devices=[ANY_CPU]) is not None


@pytest.mark.parametrize(
    ("needs", "fits"),
    [
        ({"min_memory": 80 * GB}, True),
        ({"min_memory": 81 * GB}, False),
        ({"name": "h100"}, True),
        ({"name": "H200"}, False),
        ({"labels": ("fast",)}, True),
        ({"labels": ("fast", "attic")}, False),
    ],
)
def test_what_a_job_may_ask_for(queue: JobQueue, needs: dict[str, object], fits: bool) -> None:
    worker = replace(queue.worker(), labels=("fast", "room-2"))
    submit(queue.store, **needs)
    assert (claim(queue.store, worker, GPU()) is not None) == fits


def test_a_job_that_cannot_run_here_hides_nobody(queue: JobQueue) -> None:
    submit(queue.store, memory=900 * GB)
    submit(queue.store, name="H200")
    able = submit(queue.store, memory=GB)
    assert started(queue, queue.worker(), GPU()).job_id == able.id


def test_a_worker_whose_gpus_cannot_be_measured_claims_nothing(queue: JobQueue) -> None:
    submit(queue.store)
    assert worker_api.claim(queue.store, queue.worker(), devices=()) is None


def test_a_gpu_on_which_outsiders_compute_is_left_alone_where_that_is_asked(
    queue: JobQueue,
) -> None:
    worker, gpu = queue.worker(), GPU(foreign=2 * GB, settings={"avoid_foreign": True})
    submit(queue.store, memory=GB)
    submit(queue.store, memory=GB)
    assert claim(queue.store, worker, gpu) is None
    gpu.foreign = 0
    first = started(queue, worker, gpu)
    gpu.takes(queue.store, first, GB, told=False)  # our own job is not taken for an outsider
    assert claim(queue.store, worker, gpu) is not None


def test_a_gpu_is_kept_free_for_a_job_that_needs_it_whole(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("versemill.jobs.execution.admission.HOLD_AFTER_SECONDS", -1.0)
    worker, gpu = queue.worker(), GPU()
    submit(queue.store, memory=GB)
    first = started(queue, worker, gpu)
    whole = submit(queue.store, memory=GB, exclusive=True)
    assert claim(queue.store, worker, gpu) is None
    assert queue.count(DeviceHold) == 1
    submit(queue.store, memory=GB)
    assert claim(queue.store, worker, gpu) is None, "small ones that keep coming wait"
    worker_api.finish(queue.store, first, State.SUCCEEDED, message="done")
    assert started(queue, worker, gpu).job_id == whole.id


class TestLearning:
    def test_what_a_job_has_taken_corrects_what_others_of_its_shape_need(
        self, queue: JobQueue
    ) -> None:
        worker, gpu = queue.worker(), GPU()
        first, waiting, other = (
            submit(queue.store, memory=60 * GB, shape=shape) for shape in ("a", "a", "b")
        )
        running = started(queue, worker, gpu)
        assert running.job_id == first.id
        gpu.takes(queue.store, running, 20 * GB)
        assert claim(queue.store, worker, gpu) is None
        self._through_an_epoch(queue, running)
        worker_api.finish(queue.store, running, State.SUCCEEDED, message="done")
        gpu.taken.clear()
        second = started(queue, worker, gpu)
        assert second.job_id == waiting.id
        assert 22 * GB <= second.needs.memory <= 26 * GB
        gpu.takes(queue.store, second, 20 * GB)
        assert claim(queue.store, worker, gpu) is None, "another shape needs what it needed"
        submit(queue.store, memory=60 * GB, shape="a")
        third = started(queue, worker, gpu)
        assert third.job_id != other.id
        assert third.needs.memory == second.needs.memory

    def test_an_attempt_that_ends_early_has_not_shown_what_it_takes(self, queue: JobQueue) -> None:
        gpu = GPU()
        submit(queue.store, memory=30 * GB, shape="a")
        running = started(queue, queue.worker(), gpu)
        gpu.takes(queue.store, running, GB)
        worker_api.finish(queue.store, running, State.CANCELLED, message="cancelled")
        submit(queue.store, memory=30 * GB, shape="a")
        assert started(queue, queue.worker(), GPU()).needs.memory == 30 * GB

    def test_a_job_that_ran_out_of_memory_is_tried_again_with_more(self, queue: JobQueue) -> None:
        gpu = GPU()
        submit(queue.store, memory=10 * GB, shape="a")
        running = started(queue, queue.worker(), gpu)
        assert self._runs_out(queue, running, 9 * GB) is State.QUEUED
        message = queue.details(running).events[-1].message
        assert message == "it broke; needs 15 GB from now on; trying again in 2 s (1 of 3)"
        queue.skip_delay(running)
        again = started(queue, queue.worker(), gpu)
        assert again.job_id == running.job_id
        assert 15 * GB <= again.needs.memory <= 19 * GB
        assert again.requirements == running.requirements

    def test_it_is_given_at_least_what_it_had_taken(self, queue: JobQueue) -> None:
        submit(queue.store, memory=10 * GB)
        running = started(queue, queue.worker(), GPU())
        self._runs_out(queue, running, 40 * GB)
        queue.skip_delay(running)
        assert started(queue, queue.worker(), GPU()).needs.memory >= 40 * GB

    def test_it_fails_once_it_has_had_the_largest_gpu(self, queue: JobQueue) -> None:
        submit(queue.store, memory=60 * GB)
        running = started(queue, queue.worker(), GPU())
        assert self._runs_out(queue, running, 60 * GB) is State.QUEUED
        queue.skip_delay(running)
        again = started(queue, queue.worker(), GPU())
        assert again.needs.memory == int(0.95 * 80 * GB)
        assert self._runs_out(queue, again, 76 * GB) is State.FAILED
        assert "no GPU has more memory" in (queue.job(running.job_id).error or "")

    def test_it_fails_after_the_third_time_in_vain(self, queue: JobQueue) -> None:
        submit(queue.store, memory=GB)
        for state in (State.QUEUED, State.QUEUED, State.QUEUED, State.FAILED):
            running = started(queue, queue.worker(), GPU())
            assert self._runs_out(queue, running, GB) is state
            queue.skip_delay(running)

    def test_what_it_has_got_is_not_taken_back(self, queue: JobQueue) -> None:
        """Another of its shape may have got on with less, beside quieter neighbours."""
        gpu = GPU()
        submit(queue.store, memory=20 * GB, shape="a")
        submit(queue.store, memory=20 * GB, shape="a")
        first, second = (started(queue, queue.worker(), gpu) for _ in range(2))
        self._runs_out(queue, first, 20 * GB)
        gpu.takes(queue.store, second, 20 * GB)
        self._through_an_epoch(queue, second)
        worker_api.finish(queue.store, second, State.SUCCEEDED, message="done")
        queue.skip_delay(first)
        assert started(queue, queue.worker(), GPU()).needs.memory >= 30 * GB

    def test_on_a_cpu_nothing_is_raised(self, queue: JobQueue) -> None:
        submit(queue.store, memory=GB)
        running = queue.claim()
        assert self._runs_out(queue, running, None) is State.QUEUED
        queue.skip_delay(running)
        assert self._runs_out(queue, queue.claim(), None) is State.FAILED

    def _through_an_epoch(self, queue: JobQueue, running: Claim) -> None:
        worker_api.record(queue.store, running, metrics=[metric(10)])

    def _runs_out(self, queue: JobQueue, running: Claim, used: int | None) -> State:
        return worker_api.fail_or_retry(
            queue.store, running, FailureClass.OUT_OF_MEMORY, error="it broke", memory_used=used
        )
