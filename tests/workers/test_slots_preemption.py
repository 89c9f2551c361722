"""Urgent jobs take the place of others, on real workers."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import preemption
from versemill.jobs.states import Priority
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Job
from worker_cluster import ENDLESS, Cluster

pytestmark = pytest.mark.timeout(300)


def make_urgent(cluster: Cluster, job_id: int) -> None:
    write(cluster, update(Job).where(Job.id == job_id).values(priority=Priority.URGENT))


def write(cluster: Cluster, statement: object) -> None:
    with cluster.store.unit_of_work() as uow:
        uow.execute(statement)  # type: ignore[arg-type]
        uow.commit()


def test_an_urgent_job_takes_a_place_and_nothing_is_lost(cluster: Cluster) -> None:
    long = cluster.submit(**ENDLESS)
    cluster.start_worker()
    cluster.until_training(long)
    # As if it had run for long enough to give way.
    old = db_now(-2 * preemption.LEAST_RUN_SECONDS)
    write(cluster, update(Attempt).where(Attempt.job_id == long.id).values(started_at=old))
    queued_at = service.details(cluster.store, long.id).job.created_at
    urgent = cluster.submit()
    make_urgent(cluster, urgent.id)
    cluster.until_state(urgent, "succeeded")
    cluster.until_training(long)
    details = service.details(cluster.store, long.id)
    assert details.job.created_at == queued_at
    first, second = details.attempts
    assert second.first_step == first.last_step
    assert first.last_step
    messages = [event.message for event in details.events]
    (asked,) = [told for told in messages if told.startswith("asked to give up its place")]
    assert f"for urgent job {urgent.id}" in asked
    (gave,) = [told for told in messages if told.startswith("pre-empted at step")]
    assert f"its place goes to urgent job {urgent.id}; 0 steps lost" in gave
    service.request_cancel(cluster.store, long.id, ANN)
    cluster.until_state(long, "cancelled")


def test_a_reservation_moves_a_running_job_away_and_nothing_is_lost(
    sqlite_cluster: Cluster,
) -> None:
    cluster = sqlite_cluster
    long = cluster.submit(**ENDLESS)
    cluster.start_worker("--name", "reserved")
    cluster.until_training(long)
    made, _ = service.reserve(
        cluster.store, "reserved", ANN, starts_in=0, ends_in=3600, label="course"
    )
    cluster.until_state(long, "queued")
    messages = cluster.messages(long)
    assert any(
        told.startswith("asked to leave reserved, which is reserved for") for told in messages
    )
    (gone,) = [told for told in messages if told.startswith("pre-empted at step")]
    assert "its place is reserved; 0 steps lost" in gone
    service.cancel_reservation(cluster.store, made.id, ANN)
    cluster.until_training(long)
    first, second = service.details(cluster.store, long.id).attempts
    assert second.first_step == first.last_step
    service.request_cancel(cluster.store, long.id, ANN)
    cluster.until_state(long, "cancelled")
