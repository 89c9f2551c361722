"""Each time a job is queued one forecast is stored, and its start is noted beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Forecaster
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Forecast, Job

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord


def busy(queue: JobQueue) -> tuple[WorkerRecord, Claim]:
    """One worker with one slot, that has finished a job and runs another for a minute more."""
    worker = queue.worker()
    queue.submit()
    done = worker_api.claim(queue.store, worker)
    assert done is not None
    worker_api.finish(queue.store, done, State.SUCCEEDED, message="done")
    queue.submit()
    runs = worker_api.claim(queue.store, worker)
    assert runs is not None
    with queue.store.unit_of_work() as uow:
        uow.execute(
            update(Attempt)
            .where(Attempt.job_id == done.job_id)
            .values(started_at=db_now(-200.0), ended_at=db_now(-100.0))
        )
        uow.execute(update(Job).where(Job.id == runs.job_id).values(seconds_left=60.0))
        uow.commit()
    return worker, runs


def forecasts(queue: JobQueue) -> list[Forecast]:
    with queue.store.reading() as session:
        return list(session.scalars(select(Forecast).order_by(Forecast.job_id)))


def test_one_is_stored_for_each_time_a_job_is_queued(queue: JobQueue) -> None:
    busy(queue)
    forecaster = Forecaster(queue.store)
    first = queue.submit()
    assert (forecaster.look(), forecaster.look()) == (1, 0)
    second = queue.submit()
    assert Forecaster(queue.store).look() == 1  # another worker, that has just begun
    assert forecaster.look() == 0
    service.request_pause(queue.store, first.id, ANN)
    service.resume(queue.store, first.id, ANN)
    assert forecaster.look() == 1
    assert [each.job_id for each in forecasts(queue)] == [first.id, first.id, second.id]


def test_its_range_is_what_listings_show(queue: JobQueue) -> None:
    busy(queue)
    job = queue.submit()
    Forecaster(queue.store).look()
    shown = service.details(queue.store, job.id).job.expected_start
    assert shown is not None
    (stored,) = forecasts(queue)
    for kept, listed in zip((stored.earliest, stored.latest), shown, strict=True):
        assert abs((kept - listed).total_seconds()) < 5
    assert (stored.latest - stored.made_at).total_seconds() <= (
        2 * (stored.earliest - stored.made_at).total_seconds() + 35
    )


def test_the_start_is_noted(queue: JobQueue) -> None:
    worker, runs = busy(queue)
    job = queue.submit()
    Forecaster(queue.store).look()
    worker_api.finish(queue.store, runs, State.SUCCEEDED, message="done")
    claim = worker_api.claim(queue.store, worker)
    assert claim is not None
    assert claim.job_id == job.id
    assert forecasts(queue)[0].started_at is not None


def test_listing_stores_none(queue: JobQueue) -> None:
    busy(queue)
    job = queue.submit()
    service.jobs(queue.store)
    service.details(queue.store, job.id)
    assert not forecasts(queue)


def test_what_is_not_known_yet_is_looked_at_again(queue: JobQueue) -> None:
    worker = queue.worker()
    queue.submit()
    runs = worker_api.claim(queue.store, worker)
    assert runs is not None
    queue.submit()
    forecaster = Forecaster(queue.store)
    assert (forecaster.look(), forecaster.look()) == (0, 0)
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Job).where(Job.id == runs.job_id).values(seconds_left=60.0))
        uow.commit()
    assert forecaster.look() == 1


def test_a_job_that_has_started_meanwhile_gets_none(queue: JobQueue) -> None:
    queue.worker()
    queue.running()
    assert Forecaster(queue.store).look() == 0
