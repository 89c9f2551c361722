"""What attempts cost their owners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from people import ANN, BOB
from versemill.jobs.execution import fair_share, worker_api
from versemill.jobs.execution.scheduling import BOOST_SECONDS, STARTED_SECONDS
from versemill.jobs.states import FailureClass, Priority, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Job, StoredCheckpoint, Usage

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.execution.scheduling import Owner
    from versemill.jobs.execution.worker_api import Claim

HOUR = 3600.0
SLACK = 20.0  # seconds that a busy machine may take between two statements


def owner(queue: JobQueue, claim: Claim, kind: str = "cpu") -> Owner:
    with queue.store.reading() as session:
        now = session.scalar(select(db_now()))
        assert now is not None
        owner_id = session.scalar(select(Job.owner_id).where(Job.id == claim.job_id))
        assert owner_id is not None
        return fair_share.owners(session, kind, now)[owner_id]


def started_before(queue: JobQueue, claim: Claim, seconds: float) -> None:
    this = (Attempt.job_id == claim.job_id, Attempt.number == claim.attempt)
    queue.change(Attempt, *this, started_at=db_now(-seconds))


def given_back(queue: JobQueue, claim: Claim) -> float:
    with queue.store.reading() as session:
        this = (Attempt.job_id == claim.job_id, Attempt.number == claim.attempt)
        return float(session.scalar(select(Attempt.given_back).where(*this)) or 0.0)


def test_a_running_job_counts_before_it_ends(queue: JobQueue) -> None:
    claim = queue.running()
    assert owner(queue, claim).usage == STARTED_SECONDS
    started_before(queue, claim, HOUR)
    assert owner(queue, claim).usage == pytest.approx(HOUR, abs=SLACK)
    assert owner(queue, claim, "gpu").usage == 0.0
    assert owner(queue, claim).running == 1


def test_what_it_took_is_charged_when_it_ends(queue: JobQueue) -> None:
    claim = queue.running()
    started_before(queue, claim, HOUR)
    worker_api.finish(queue.store, claim, State.SUCCEEDED, message="done")
    assert owner(queue, claim).usage == pytest.approx(HOUR, abs=SLACK)
    assert owner(queue, claim).running == 0
    queue.change(Usage, as_of=db_now(-7 * 24 * HOUR))
    assert owner(queue, claim).usage == pytest.approx(HOUR / 2, abs=SLACK)


def test_a_share_of_a_gpu_is_charged_as_such(queue: JobQueue) -> None:
    claim = queue.running()
    queue.change(Attempt, device_kind="gpu", device_id="GPU-1", share=0.25)
    started_before(queue, claim, HOUR)
    assert owner(queue, claim, "gpu").gpus == 0.25
    worker_api.finish(queue.store, claim, State.SUCCEEDED, message="done")
    assert owner(queue, claim, "gpu").usage == pytest.approx(HOUR / 4, abs=SLACK)
    assert owner(queue, claim, "cpu").usage == 0.0


def test_time_lost_with_a_worker_is_given_back(queue: JobQueue) -> None:
    """Up to the last checkpoint it is charged; what follows has to be computed again."""
    claim = queue.running()
    started_before(queue, claim, HOUR)
    queue.checkpoint(claim, step=20)
    queue.change(StoredCheckpoint, created_at=db_now(-HOUR / 4))
    queue.requeue(claim)
    assert owner(queue, claim).usage == pytest.approx(HOUR * 3 / 4, abs=SLACK)
    assert given_back(queue, claim) == pytest.approx(HOUR / 4, abs=SLACK)


def test_without_a_checkpoint_all_of_it_is_given_back(queue: JobQueue) -> None:
    claim = queue.running()
    started_before(queue, claim, HOUR)
    queue.requeue(claim)
    assert owner(queue, claim).usage == pytest.approx(0.0, abs=SLACK)


def test_a_users_own_failure_is_charged(queue: JobQueue) -> None:
    claim = queue.running()
    started_before(queue, claim, HOUR)
    queue.fail(claim, FailureClass.USER)
    assert owner(queue, claim).usage == pytest.approx(HOUR, abs=SLACK)
    assert given_back(queue, claim) == 0.0


def test_starting_is_remembered_by_priority(queue: JobQueue) -> None:
    claim = queue.running()
    assert set(owner(queue, claim).started) == {Priority.NORMAL}


def test_who_was_away_is_raised_when_a_job_of_theirs_starts(queue: JobQueue) -> None:
    anns = queue.claim(queue.submit(owner=ANN).id)
    started_before(queue, anns, 100 * HOUR)
    queue.submit(owner=ANN)
    bobs = queue.claim(queue.submit(owner=BOB).id)
    assert owner(queue, bobs).usage == pytest.approx(
        100 * HOUR - BOOST_SECONDS + STARTED_SECONDS, abs=SLACK
    )
