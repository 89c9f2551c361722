"""Jobs that begin after others, or at a time."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from job_queue import CONFIG, TEXT
from people import ANN
from versemill.errors import ConfigError, JobStateError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.execution.transitions import move
from versemill.jobs.notices import HeldUntil, WaitsForJobs
from versemill.jobs.service import After, Submission, Timing
from versemill.jobs.service.dependencies import keep_dependencies
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Dependency, Job

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.views import JobView


def submit(queue: JobQueue, *after: After, name: str | None = None, **timing: Any) -> JobView:
    submission = Submission(
        config=CONFIG, text=TEXT, plugins=[], name=name, timing=Timing(after=after, **timing)
    )
    return service.enqueue(queue.store, submission, ANN).job


def held(queue: JobQueue, job: JobView) -> bool:
    with queue.store.reading() as session:
        return session.scalars(select(Job.held).where(Job.id == job.id)).one()


def claimable(queue: JobQueue, job: JobView) -> bool:
    return worker_api.runnable(queue.store, queue.worker(), only=job.id)


def after(job_id: int, condition: Any = "succeeded") -> After:
    return After(job=str(job_id), condition=condition)


def test_many_awaited_jobs_are_told_in_a_short_line(queue: JobQueue) -> None:
    awaited = [queue.submit().id for _ in range(30)]
    job = submit(queue, *map(after, awaited))
    (event,) = service.details(queue.store, job.id).events
    assert event.message.endswith("20 (succeeded) and 10 more")
    assert str(service.waiting(queue.store, job.id)).endswith(", and for 25 more")


def test_a_job_waits_until_the_other_has_succeeded(queue: JobQueue) -> None:
    first = queue.running()
    job = submit(queue, after(first.job_id))
    assert not claimable(queue, job)
    why = service.waiting(queue.store, job.id)
    assert isinstance(why, WaitsForJobs)
    assert str(why).startswith(f"waits for job {first.job_id} ({first.job_name}), which is running")
    worker_api.finish(queue.store, first, State.SUCCEEDED, message="for a test")
    assert claimable(queue, job)
    assert not isinstance(service.waiting(queue.store, job.id), WaitsForJobs)


@pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED])
def test_a_job_waits_on_when_the_other_fails_and_goes_when_its_retry_succeeds(
    queue: JobQueue, end: State
) -> None:
    first = queue.running()
    strict, lax = submit(queue, after(first.job_id)), submit(queue, after(first.job_id, "any"))
    worker_api.finish(queue.store, first, end, message="for a test")
    assert claimable(queue, lax)
    assert held(queue, strict)
    why = service.waiting(queue.store, strict.id)
    assert isinstance(why, WaitsForJobs)
    assert [job.id for job in why.hopeless] == [first.job_id]
    service.retry(queue.store, first.job_id, ANN)
    why = service.waiting(queue.store, strict.id)
    assert isinstance(why, WaitsForJobs)
    assert not why.hopeless
    again = queue.claim(first.job_id)
    worker_api.finish(queue.store, again, State.SUCCEEDED, message="for a test")
    assert claimable(queue, strict)


def test_a_job_waits_for_all_and_for_every_member_of_an_array(queue: JobQueue) -> None:
    alone = queue.running()
    members = [queue.running(), queue.running()]
    with queue.store.unit_of_work() as uow:
        ids = [member.job_id for member in members]
        uow.execute(update(Job).where(Job.id.in_(ids)).values(array_name="lr"))
        uow.commit()
    job = submit(queue, after(alone.job_id), After(job="lr", condition="any"))
    for claim in members:
        worker_api.finish(queue.store, claim, State.FAILED, message="for a test")
        assert held(queue, job)
    worker_api.finish(queue.store, alone, State.SUCCEEDED, message="for a test")
    assert claimable(queue, job)


@pytest.mark.parametrize(
    ("end", "condition", "met"),
    [
        (State.SUCCEEDED, "succeeded", True),
        (State.SUCCEEDED, "any", True),
        (State.FAILED, "any", True),
        (State.CANCELLED, "any", True),
        (State.FAILED, "succeeded", False),
        (State.CANCELLED, "succeeded", False),
    ],
)
def test_an_ended_job_is_met_or_refused_at_once(
    queue: JobQueue, end: State, condition: str, met: bool
) -> None:
    first = queue.in_state(end)
    if met:
        assert claimable(queue, submit(queue, after(first.job_id, condition)))
        return
    before = queue.count(Job)
    with pytest.raises(JobStateError, match="would wait for ever") as caught:
        submit(queue, after(first.job_id, condition))
    assert caught.value.reason == "after-failed"
    assert queue.count(Job) == before


def test_a_job_cannot_wait_for_one_that_is_not_there_such_as_itself(queue: JobQueue) -> None:
    with pytest.raises(UnknownNameError, match="no job named 'me'"):
        submit(queue, After(job="me"), name="me")
    assert queue.count(Job) == 0


@pytest.mark.parametrize("later", [0, 1])
def test_no_circle_can_be_stored(queue: JobQueue, later: int) -> None:
    job = queue.submit()
    other = queue.submit()
    assert other.id == job.id + 1
    with queue.store.unit_of_work() as uow, pytest.raises(JobStateError, match="not before it"):
        keep_dependencies(uow, job.id, {job.id + later: "any"})


def test_a_job_that_others_wait_for_cannot_be_removed(queue: JobQueue) -> None:
    first = queue.submit()
    waiting = submit(queue, after(first.id), name="second")
    with pytest.raises(JobStateError, match=r"\(second, queued\) waits for it") as caught:
        service.remove(queue.store, first.id, ANN)
    assert caught.value.attributes["job_ids"] == [waiting.id]
    service.remove(queue.store, waiting.id, ANN)
    service.remove(queue.store, first.id, ANN)
    assert queue.count(Dependency) == 0


def test_pause_and_resume_do_not_let_a_held_job_go(queue: JobQueue) -> None:
    first = queue.submit()
    job = submit(queue, after(first.id), begin_in=3600)
    service.request_pause(queue.store, job.id, ANN)
    service.resume(queue.store, job.id, ANN)
    assert held(queue, job)
    service.request_cancel(queue.store, first.id, ANN)
    assert isinstance(service.waiting(queue.store, job.id), WaitsForJobs)
    service.retry(queue.store, first.id, ANN)
    worker_api.finish(queue.store, queue.claim(first.id), State.SUCCEEDED, message="for a test")
    assert not held(queue, job)
    assert isinstance(service.waiting(queue.store, job.id), HeldUntil)
    assert not claimable(queue, job)


def test_a_job_begins_at_its_time_on_the_databases_clock(queue: JobQueue) -> None:
    job = submit(queue, begin_in=3600)
    with queue.store.reading() as session:
        columns = (Job.begin_at, Job.available_at, Job.queued_at, db_now().label("now"))
        begin, available, queued, now = session.execute(
            select(*columns).where(Job.id == job.id)
        ).one()
    assert begin == available == queued == job.begin_at
    assert 3590 < (begin - now).total_seconds() <= 3600
    assert not claimable(queue, job)
    why = service.waiting(queue.store, job.id)
    assert isinstance(why, HeldUntil)
    assert str(why) == f"held until {begin.astimezone():%Y-%m-%d %H:%M}"
    service.request_pause(queue.store, job.id, ANN)
    assert service.resume(queue.store, job.id, ANN).job.begin_at == begin
    assert not claimable(queue, job), "resuming it does not begin it earlier"
    with queue.store.unit_of_work() as uow:
        passed = {"begin_at": db_now(-1), "available_at": db_now(-1), "queued_at": db_now(-1)}
        uow.execute(update(Job).where(Job.id == job.id).values(passed))
        uow.commit()
    assert claimable(queue, job)


@pytest.mark.parametrize("seconds", [-1.0, 1e12, float("nan")])
def test_times_out_of_bounds_are_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="begin"):
        Timing(begin_in=seconds)
    with pytest.raises(ConfigError, match="time limit"):
        Timing(time_limit=min(seconds, 0.5))


def test_dependencies_of_a_job_go_with_it(queue: JobQueue) -> None:
    first = queue.submit()
    job = submit(queue, after(first.id))
    service.remove(queue.store, job.id, ANN)
    service.remove(queue.store, first.id, ANN)
    assert queue.count(Job) == queue.count(Dependency) == 0


def test_the_stricter_of_two_conditions_holds(queue: JobQueue) -> None:
    first = queue.running()
    jobs = [
        submit(queue, after(first.job_id, one), after(first.job_id, other))
        for one, other in (("any", "succeeded"), ("succeeded", "any"))
    ]
    worker_api.finish(queue.store, first, State.FAILED, message="for a test")
    assert [held(queue, job) for job in jobs] == [True, True]


def test_a_submission_takes_its_timing_along(queue: JobQueue) -> None:
    submission = Submission(config=CONFIG, text=TEXT, plugins=[])
    timed = replace(submission, timing=Timing(time_limit=5400))
    job = service.enqueue(queue.store, timed, ANN).job
    assert job.time_limit == 5400.0
    messages = [event.message for event in service.details(queue.store, job.id).events]
    assert messages == ["submitted; time limit 1 h 30 min"]


def test_a_job_that_ends_meanwhile_is_not_missed(queue: JobQueue) -> None:
    first = queue.running()
    submitted: list[JobView] = []
    thread = threading.Thread(target=lambda: submitted.append(submit(queue, after(first.job_id))))
    with queue.store.unit_of_work() as uow:
        move(uow, first.job_id, State.RUNNING, State.SUCCEEDED, actor="gpu-1", message="the end")
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "whether it has ended is not known before the commit"
        uow.commit()
    thread.join()
    assert claimable(queue, submitted[0])
