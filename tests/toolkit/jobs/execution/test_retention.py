"""The limit of all checkpoints together: what goes, in which order, and what never goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import retention, worker_api
from versemill.jobs.states import State

if TYPE_CHECKING:
    from job_queue import JobQueue

KB = bytes(1000)


@pytest.fixture
def kept(queue: JobQueue) -> dict[State, int]:
    """Jobs in every state with a best (1 kB) and a last checkpoint (1 kB), by their ids."""
    jobs = {}
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.PAUSED, State.RUNNING):
        claim = queue.running()
        queue.checkpoint(claim, step=10, data=KB, is_best=True)
        queue.checkpoint(claim, step=20, data=KB, is_last=True)
        if state is not State.RUNNING:
            worker_api.finish(queue.store, claim, state, message="for a test")
        jobs[state] = claim.job_id
    return jobs


def steps(queue: JobQueue, job_id: int) -> list[int]:
    return [row.step for row in service.details(queue.store, job_id).checkpoints]


def test_below_the_limit_nothing_goes(queue: JobQueue, kept: dict[State, int]) -> None:
    assert worker_api.free_checkpoints(queue.store, 10_000) == []
    assert retention.checkpoint_bytes(queue.store) == 10_000
    assert steps(queue, kept[State.SUCCEEDED]) == [10, 20]


def test_of_a_succeeded_job_all_but_the_best_goes_first(
    queue: JobQueue, kept: dict[State, int]
) -> None:
    (line,) = worker_api.free_checkpoints(queue.store, 9_000)
    assert line.startswith(f"job {kept[State.SUCCEEDED]}: checkpoint of step 20 deleted")
    assert steps(queue, kept[State.SUCCEEDED]) == [10]
    last = service.details(queue.store, kept[State.SUCCEEDED]).events[-1]
    assert (last.actor, last.message) == ("retention", line.partition(": ")[2])


def test_then_those_of_failed_and_cancelled_jobs_go(
    queue: JobQueue, kept: dict[State, int]
) -> None:
    assert len(worker_api.free_checkpoints(queue.store, 6_500)) == 4
    assert steps(queue, kept[State.FAILED]) == []
    assert steps(queue, kept[State.CANCELLED]) == [10]


def test_what_can_still_run_and_the_best_of_the_succeeded_stay(
    queue: JobQueue, kept: dict[State, int]
) -> None:
    worker_api.free_checkpoints(queue.store, 0)
    assert {state: steps(queue, job_id) for state, job_id in kept.items()} == {
        State.SUCCEEDED: [10],
        State.FAILED: [],
        State.CANCELLED: [],
        State.PAUSED: [10, 20],
        State.RUNNING: [10, 20],
    }
    assert worker_api.free_checkpoints(queue.store, 0) == []


def test_a_job_taken_up_again_meanwhile_keeps_its_checkpoints(
    queue: JobQueue, kept: dict[State, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    free, retried = retention._free, []

    def retry_first(*args: object) -> object:
        if not retried:
            retried.append(service.retry(queue.store, kept[State.FAILED], ANN).job)
            service.retry(queue.store, kept[State.CANCELLED], ANN)
        return free(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(retention, "_free", retry_first)
    assert len(worker_api.free_checkpoints(queue.store, 0)) == 1
    assert steps(queue, kept[State.FAILED]) == steps(queue, kept[State.CANCELLED]) == [10, 20]
