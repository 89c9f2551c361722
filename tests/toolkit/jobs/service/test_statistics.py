"""What was used, by owner, device and week, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, update

from job_queue import CONFIG, TEXT
from people import ANN, BOB
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Submission
from versemill.jobs.service.statistics import By, statistics
from versemill.jobs.states import FailureClass, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Forecast, Job

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import WorkerRecord
    from versemill.jobs.service import Principal

MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GPU = {"device_kind": "gpu", "device_id": "GPU-1", "device_name": "NVIDIA Test"}


def ran(
    queue: JobQueue,
    who: Principal,
    *,
    start: datetime,
    hours: float,
    waited: float = 0.0,
    failure: FailureClass | None = None,
    **values: Any,
) -> int:
    """A job that waited so many seconds for its only attempt, which took so many hours."""
    job = service.enqueue(queue.store, Submission(config=CONFIG, text=TEXT, plugins=[]), who).job
    claim = worker_api.claim(queue.store, worker(queue))
    assert claim is not None
    worker_api.finish(queue.store, claim, State.SUCCEEDED, message="done", failure=failure)
    times = {"started_at": start, "ended_at": start + timedelta(hours=hours)}
    queued_at = start - timedelta(seconds=waited)
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Attempt).where(Attempt.job_id == job.id).values(**times, **values))
        uow.execute(update(Job).where(Job.id == job.id).values(queued_at=queued_at))
        uow.commit()
    return job.id


def worker(queue: JobQueue) -> WorkerRecord:
    return worker_api.register_worker(queue.store, "w1", 1)


def forecast(queue: JobQueue, job_id: int, *, late: float) -> None:
    """A forecast of a range of a minute for a start that came so late after it began."""
    start = MONDAY + timedelta(days=1)
    times = {
        "queued_at": start,
        "earliest": start,
        "latest": start + timedelta(seconds=60),
        "started_at": start + timedelta(seconds=late),
    }
    with queue.store.unit_of_work() as uow:
        uow.execute(insert(Forecast).values(job_id=job_id, **times))
        uow.commit()


def test_nothing_was_used_yet(queue: JobQueue) -> None:
    found = statistics(queue.store, By.OWNER)
    assert found.total.to_json() == {
        "group": "all", "cpu_hours": 0.0, "gpu_hours": 0.0, "given_back_hours": 0.0,
        "utilisation": None, "attempts": 0, "wait_p50": None, "wait_p90": None, "failures": {},
        "forecasts": 0, "forecasts_right": 0, "forecast_rate": None,
    }  # fmt: skip
    assert found.groups == ()


def test_hours_are_those_of_the_share_held_by_owner(queue: JobQueue) -> None:
    ran(queue, ANN, start=MONDAY, hours=2)
    ran(queue, ANN, start=MONDAY + timedelta(hours=2), hours=2, share=0.25, **GPU)
    ran(queue, BOB, start=MONDAY, hours=1, given_back=1800.0)
    ann, bob = statistics(queue.store, By.OWNER).groups
    assert (ann.group, ann.attempts) == ("ann", 2)
    assert (ann.cpu_hours, ann.gpu_hours) == pytest.approx((2.0, 0.5))
    assert ann.utilisation == pytest.approx(2.5 / 4)
    assert (bob.cpu_hours, bob.given_back_hours) == pytest.approx((1.0, 0.5))
    total = statistics(queue.store).total
    assert (total.cpu_hours, total.gpu_hours, total.attempts) == (
        pytest.approx(3.0), pytest.approx(0.5), 3,
    )  # fmt: skip


def test_a_running_job_counts_up_to_now(queue: JobQueue) -> None:
    claim = queue.running()
    with queue.store.unit_of_work() as uow:
        mine = update(Attempt).where(Attempt.job_id == claim.job_id)
        uow.execute(mine.values(started_at=db_now(-3600.0)))
        uow.commit()
    assert statistics(queue.store).total.cpu_hours == pytest.approx(1.0, abs=0.01)


def test_devices_are_named(queue: JobQueue) -> None:
    ran(queue, ANN, start=MONDAY, hours=1)
    ran(queue, ANN, start=MONDAY, hours=1, **GPU)
    ran(queue, BOB, start=MONDAY + timedelta(hours=3), hours=1, **GPU)
    cpu, gpu = statistics(queue.store, By.DEVICE).groups
    assert (cpu.group, gpu.group) == ("CPU of worker w1", "NVIDIA Test GPU-1")
    assert gpu.utilisation == pytest.approx(0.5)


def test_weeks_begin_on_monday(queue: JobQueue) -> None:
    for days in (-1, 0, 6, 7):
        ran(queue, ANN, start=MONDAY + timedelta(days=days), hours=1)
    weeks = {usage.group: usage.attempts for usage in statistics(queue.store, By.WEEK).groups}
    assert weeks == {"2026-02-23": 1, "2026-03-02": 2, "2026-03-09": 1}


def test_waits_are_percentiles_by_nearest_rank(queue: JobQueue) -> None:
    for waited in (10, 20, 30, 40, 50, 60, 70, 80, 90, 1000):
        ran(queue, ANN, start=MONDAY, hours=1, waited=waited)
    ran(queue, BOB, start=MONDAY, hours=1, waited=7)
    ann, bob = statistics(queue.store, By.OWNER).groups
    assert (ann.wait_p50, ann.wait_p90) == pytest.approx((50, 90), abs=0.01)
    assert (bob.wait_p50, bob.wait_p90) == pytest.approx((7, 7), abs=0.01)


def test_failures_are_counted_by_class(queue: JobQueue) -> None:
    ran(queue, ANN, start=MONDAY, hours=1, failure=FailureClass.STALLED)
    ran(queue, ANN, start=MONDAY, hours=1, failure=FailureClass.USER)
    ran(queue, ANN, start=MONDAY, hours=1, failure=FailureClass.USER)
    ran(queue, BOB, start=MONDAY, hours=1)
    ann, bob = statistics(queue.store, By.OWNER).groups
    assert (ann.failures, bob.failures) == ({"stalled": 1, "user": 2}, {})


def test_forecasts_are_scored(queue: JobQueue) -> None:
    for who, late in ((ANN, 0.0), (ANN, 60.0), (ANN, 61.0), (BOB, -1.0)):
        forecast(queue, ran(queue, who, start=MONDAY, hours=1), late=late)
    ann, bob = statistics(queue.store, By.OWNER).groups
    assert (ann.forecasts, ann.forecasts_right) == (3, 2)
    assert (bob.forecasts, bob.forecast_rate) == (1, 0.0)
    assert statistics(queue.store).total.forecast_rate == 0.5
    assert statistics(queue.store, By.WEEK).groups[0].forecasts == 4
