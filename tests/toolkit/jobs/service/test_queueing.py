"""Priorities, and how many jobs somebody may have wait, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from job_queue import CONFIG, TEXT
from people import ANN, BOB
from versemill.errors import ForbiddenError, JobStateError, LimitError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Principal, Submission
from versemill.jobs.states import Priority, Role, State
from versemill.jobs.storage.tables import Job

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobView

ROOT = Principal("root")
URGENT = Priority.URGENT


@pytest.fixture
def team(queue: JobQueue) -> JobQueue:
    """A queue with an admin, root, and two members."""
    for name in ("ann", "bob"):
        service.add_user(queue.store, name, Role.MEMBER, ROOT)
    return queue


def enqueue(
    store: Store, principal: Principal = ANN, priority: Priority = Priority.NORMAL
) -> JobView:
    submission = Submission(config=CONFIG, text=TEXT, plugins=[], priority=priority)
    return service.enqueue(store, submission, principal).job


def four_submits(store: Store, **wanted: Priority) -> list[bool]:
    """Four submits at once; whether each was taken."""

    def one(_: int) -> bool:
        try:
            enqueue(store, **wanted)
        except LimitError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        return sorted(pool.map(one, range(4)), reverse=True)


class TestQueuedLimit:
    def test_holds_when_several_submit_at_once(self, team: JobQueue) -> None:
        service.set_limits(team.store, "ann", {"queued": 2}, ROOT)
        assert four_submits(team.store) == [True, True, False, False]

    def test_holds_for_resume_and_retry(self, team: JobQueue) -> None:
        paused, failed = team.in_state(State.PAUSED), team.in_state(State.FAILED)
        service.set_limits(team.store, "ann", {"queued": 0}, ROOT)
        message = "ann has 0 jobs waiting, and the limit is 0"
        for again in (
            lambda: service.resume(team.store, paused.job_id, ANN),
            lambda: service.retry(team.store, failed.job_id, ANN),
            lambda: service.resume_or_retry(team.store, failed.job_id, ANN),
            lambda: enqueue(team.store, Principal("root", "ann")),
        ):
            with pytest.raises(LimitError, match=message):
                again()
        assert (team.state(paused), team.state(failed)) == (State.PAUSED, State.FAILED)

    def test_is_not_of_what_runs_or_of_others(self, team: JobQueue) -> None:
        service.set_limits(team.store, "ann", {"queued": 1}, ROOT)
        team.running()
        enqueue(team.store)
        enqueue(team.store, BOB)

    def test_a_job_that_is_handed_over_waits_whatever_the_limit(self, team: JobQueue) -> None:
        claim = team.running()
        service.set_limits(team.store, "ann", {"queued": 0}, ROOT)
        worker_api.finish(team.store, claim, State.QUEUED, message="handed over")
        assert team.state(claim) is State.QUEUED


class TestUrgent:
    def test_is_for_admins_and_by_default_for_no_member(self, team: JobQueue) -> None:
        assert enqueue(team.store, ROOT, URGENT).priority is URGENT
        assert enqueue(team.store, Principal("root", "ann"), URGENT).priority is URGENT
        with pytest.raises(LimitError, match="bob has 0 urgent jobs, and the limit is 0") as caught:
            enqueue(team.store, BOB, URGENT)
        assert caught.value.reason == "urgent"
        assert caught.value.attributes == {"user": "bob", "limit": 0}

    def test_limit_holds_when_several_submit_at_once(self, team: JobQueue) -> None:
        service.set_limits(team.store, "ann", {"urgent": 1}, ROOT)
        assert four_submits(team.store, priority=URGENT) == [True, False, False, False]

    def test_limit_counts_what_waits_or_runs(self, team: JobQueue) -> None:
        service.set_limits(team.store, "ann", {"urgent": 1}, ROOT)
        claim = team.claim(enqueue(team.store, ANN, URGENT).id)
        with pytest.raises(LimitError):
            enqueue(team.store, ANN, URGENT)
        worker_api.finish(team.store, claim, State.PAUSED, message="for a test")
        enqueue(team.store, ANN, URGENT)
        with pytest.raises(LimitError, match="ann has 1 urgent job, and the limit is 1"):
            service.resume(team.store, claim.job_id, ANN)


class TestSetPriority:
    def test_of_a_waiting_job(self, team: JobQueue) -> None:
        first, second = enqueue(team.store), enqueue(team.store)
        queued = service.set_priority(team.store, second.id, Priority.HIGH, ANN)
        assert queued.job.priority is Priority.HIGH
        message = service.details(team.store, second.id).events[-1].message
        assert message == "priority high instead of normal"
        assert [team.claim().job_id, team.claim().job_id] == [second.id, first.id]

    def test_urgent_within_the_limit_only(self, team: JobQueue) -> None:
        service.set_limits(team.store, "ann", {"urgent": 1}, ROOT)
        first, second = enqueue(team.store), enqueue(team.store)
        service.set_limits(team.store, "ann", {"queued": 0}, ROOT)  # both wait already
        for _ in range(2):
            assert service.set_priority(team.store, first.id, URGENT, ANN).job.priority is URGENT
        with pytest.raises(LimitError):
            service.set_priority(team.store, second.id, URGENT, ANN)
        assert service.set_priority(team.store, second.id, URGENT, ROOT).job.priority is URGENT

    def test_of_others_jobs_is_for_admins(self, team: JobQueue) -> None:
        job = enqueue(team.store)
        with pytest.raises(ForbiddenError, match="bob may not change the priority of job 1"):
            service.set_priority(team.store, job.id, Priority.LOW, BOB)

    @pytest.mark.parametrize("state", [State.RUNNING, State.SUCCEEDED])
    def test_of_what_does_not_wait(self, team: JobQueue, state: State) -> None:
        claim = team.in_state(state)
        with pytest.raises(JobStateError, match=f"is {state}; only jobs that wait or are paused"):
            service.set_priority(team.store, claim.job_id, Priority.LOW, ANN)


@pytest.mark.parametrize("how", ["resumed", "no longer urgent"])
def test_no_place_is_kept_for_what_no_longer_needs_it(team: JobQueue, how: str) -> None:
    job = enqueue(team.store, ROOT, URGENT)
    with team.store.unit_of_work() as uow:
        uow.execute(update(Job).where(Job.id == job.id).values(place_worker_id="a worker"))
        uow.commit()
    if how == "resumed":
        service.request_pause(team.store, job.id, ROOT)
        service.resume(team.store, job.id, ROOT)
    else:
        service.set_priority(team.store, job.id, Priority.HIGH, ROOT)
    with team.store.reading() as session:
        assert session.scalars(select(Job.place_worker_id)).all() == [None]
