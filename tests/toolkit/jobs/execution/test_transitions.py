"""Every pair of states: the ones in TRANSITIONS happen, all others are refused."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import IntegrityError

from people import ANN
from versemill.errors import DatabaseError, JobStateError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.execution.transitions import move
from versemill.jobs.states import (
    RETRIES,
    TRANSITIONS,
    FailureClass,
    Request,
    State,
    check_transition,
)
from versemill.jobs.storage.columns import db_now

if TYPE_CHECKING:
    from job_queue import JobQueue

PAIRS = list(itertools.product(State, State))


def test_the_map_is_the_one_designed() -> None:
    queued, running, paused, succeeded, failed, cancelled = State
    assert set(TRANSITIONS) == {
        *((queued, to) for to in (running, paused, cancelled)),
        *((running, to) for to in (succeeded, failed, cancelled, paused, queued)),
        *((paused, to) for to in (queued, cancelled)),
        *((came, queued) for came in (failed, cancelled, succeeded)),
    }


@pytest.mark.parametrize(("start", "end"), PAIRS)
def test_every_pair(queue: JobQueue, start: State, end: State) -> None:
    claim = queue.in_state(start)
    before = queue.snapshot()
    values = {"lease_until": db_now(30)} if end is State.RUNNING else {}

    def attempt() -> bool:
        with queue.store.unit_of_work() as uow:
            moved = move(uow, claim.job_id, start, end, actor="ann", message="test", values=values)
            uow.commit()
        return moved

    if (start, end) in TRANSITIONS:
        assert attempt()
        assert queue.state(claim) is end
        event = queue.details(claim).events[-1]
        assert (event.from_state, event.to_state, event.actor) == (start, end, "ann")
        assert not attempt(), "the condition of the UPDATE holds only once"
    else:
        with pytest.raises(JobStateError, match=f"from {start} to {end}; from {start}: "):
            attempt()
        assert queue.snapshot() == before


@pytest.mark.parametrize("start", State)
def test_a_move_from_another_state_writes_nothing(queue: JobQueue, start: State) -> None:
    claim = queue.in_state(State.PAUSED)
    before = queue.snapshot()
    for came, end in TRANSITIONS:
        if came is start and came is not State.PAUSED:
            with queue.store.unit_of_work() as uow:
                assert not move(uow, claim.job_id, came, end, actor="ann", message="test")
                uow.commit()
    assert queue.snapshot() == before


@pytest.mark.parametrize(
    ("state", "lease"), [(State.QUEUED, True), (State.PAUSED, True), (State.RUNNING, False)]
)
def test_running_exactly_when_a_lease_is_set(queue: JobQueue, state: State, lease: bool) -> None:
    claim = queue.running()
    with pytest.raises(DatabaseError, match="ck_jobs_lease") as caught:
        queue._set(claim, state=state, lease_until=db_now(9) if lease else None)
    assert isinstance(caught.value.__cause__, IntegrityError)


def test_a_move_answers_the_request(queue: JobQueue) -> None:
    claim = queue.running()
    service.request_pause(queue.store, claim.job_id, ANN)
    worker_api.finish(queue.store, claim, State.PAUSED, message="paused")
    assert queue.job(claim.job_id).request is Request.NONE


def test_finishing_as_running_is_refused(queue: JobQueue) -> None:
    claim = queue.running()
    with pytest.raises(JobStateError):
        worker_api.finish(queue.store, claim, State.RUNNING, message="no")


def test_check_transition_lists_what_is_allowed() -> None:
    with pytest.raises(JobStateError, match="from paused: queued, cancelled"):
        check_transition(State.PAUSED, State.SUCCEEDED)


def test_requests_rank() -> None:
    none, yielding, pause, cancel = Request
    assert cancel.weaker == (none, yielding, pause)
    assert none.weaker == ()


def test_back_off() -> None:
    policy = RETRIES[FailureClass.INFRASTRUCTURE]
    assert [policy.delay(n) for n in range(1, 6)] == [0, 2, 4, 8, 16]
    caps = {failure: policy.cap for failure, policy in RETRIES.items()}
    assert caps == {
        FailureClass.USER: 0,
        FailureClass.OUT_OF_MEMORY: 1,
        FailureClass.STALLED: 2,
        FailureClass.INFRASTRUCTURE: 5,
    }
