"""A team at work: four owners, sixty jobs, an array, a chain, urgent jobs and a killed worker."""

from __future__ import annotations

import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from versemill.jobs import service
from versemill.jobs.execution import preemption
from versemill.jobs.service import Principal
from versemill.jobs.states import Priority, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Job, User
from versemill.testing.resume_proof.comparison import first_difference, read_record
from worker_cluster import Cluster, command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import Valkey
    from versemill.jobs.views import JobView

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OWNERS = [Principal(name) for name in ("ann", "bo", "chen", "dia")]
PRIORITIES = (Priority.NORMAL, Priority.LOW, Priority.HIGH)
SHORT = {"training.epochs": 4, "training.report_every": 4}
LONG = {"sampler": "slow", "training.epochs": 200, "training.patience": 0}
LIMIT = 1


@pytest.fixture
def team(tmp_path: Path, postgres_url: str, redis: Valkey) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, postgres_url, redis.url)
    yield cluster
    cluster.close()


def ran_long(team: Cluster) -> None:
    """What runs may give way at once."""
    ran = db_now(-2 * preemption.LEAST_RUN_SECONDS)
    with team.store.unit_of_work() as uow:
        limited = select(User.id).where(User.running_limit.is_not(None))
        running = select(Job.id).where(Job.state == State.RUNNING, Job.owner_id.not_in(limited))
        uow.execute(update(Attempt).where(Attempt.job_id.in_(running)).values(started_at=ran))
        uow.commit()


def test_every_job_is_trained_in_an_order_that_the_policy_explains(team: Cluster) -> None:
    ann = OWNERS[0]
    undisturbed = team.submit(owner=ann, **SHORT)
    first = team.start_worker("--name", "one", "--slots", "2")
    team.start_worker("--name", "two", "--slots", "2")
    team.until_state(undisturbed, "succeeded")
    long = [team.submit(owner=owner, priority=Priority.LOW, **LONG) for owner in OWNERS]
    team.until(lambda: len(_in(team, State.RUNNING)) == 4)
    service.set_limits(team.store, "dia", {"running": LIMIT}, ann)
    jobs = [
        team.submit(owner=OWNERS[i % 4], priority=PRIORITIES[i // 4 % 3], **SHORT)
        for i in range(48)
    ]
    same = ("--from", str(undisturbed.id))
    varied = ("--array", "training.seed=1..3", "--array", "training.learning_rate=0.001,0.01")
    command(team, "submit", "--name", "grid", *same, *varied)
    command(team, "submit", "--name", "last", *same, "--after", "grid")
    grid = [job for job in service.jobs(team.store, limit=None) if job.name.startswith("grid-")]
    assert len(grid) == 6
    last = service.find(team.store, "last")
    ran_long(team)
    urgent = team.submit(owner=ann, priority=Priority.URGENT, **SHORT)
    team.until_state(urgent, "succeeded")
    os.kill(first.pid, signal.SIGKILL)
    team.start_worker("--name", "one", "--slots", "2")

    everything = [undisturbed, *long, *jobs, *grid, last, urgent]
    team.until(lambda: all(team.job(job).state.ended for job in everything), seconds=400)
    assert Counter(team.job(job).state for job in everything) == {State.SUCCEEDED: 61}
    # Weights are those of an undisturbed run, whatever came between.
    record = read_record(team.store, undisturbed.id)
    for job in (*jobs, last, urgent):
        assert first_difference(record, read_record(team.store, job.id)) is None, job
    _check_order(team, jobs, grid, last, urgent)
    stories = {job.id: " / ".join(team.messages(job)) for job in everything}
    for story in stories.values():
        assert "claimed by worker" in story
        assert "trained to its end" in story
    gave_way = [story for story in stories.values() if "its place goes to urgent job" in story]
    assert len(gave_way) >= 1
    assert all("0 steps lost" in story for story in gave_way)
    assert "waits its turn now" in stories[last.id]
    assert any("was lost at step" in story for story in stories.values())


def _check_order(
    team: Cluster, jobs: list[JobView], grid: list[JobView], last: JobView, urgent: JobView
) -> None:
    attempts = _attempts(team)
    assert _most_at_once(attempts, "dia") <= LIMIT
    starts = {row.job_id: row.started_at for row in attempts if row.number == 1}
    assert all(starts[job.id] >= starts[urgent.id] for job in jobs)  # before all that waited
    members = {job.id for job in grid}
    assert starts[last.id] > max(row.ended_at for row in attempts if row.job_id in members)
    for owner in OWNERS[:3]:
        mine = [(starts[job.id], job.priority.level) for job in jobs if job.owner == owner.name]
        levels = [level for _, level in sorted(mine)]
        assert levels == sorted(levels, reverse=True), owner


def _in(team: Cluster, state: State) -> list[JobView]:
    return service.jobs(team.store, states=[state], limit=None)


def _attempts(team: Cluster) -> list[Any]:
    columns = (Attempt.job_id, Attempt.number, Attempt.started_at, Attempt.ended_at)
    query = select(*columns, User.name.label("owner")).join(Job, Job.id == Attempt.job_id)
    with team.store.reading() as session:
        return list(session.execute(query.join(User, User.id == Job.owner_id)))


def _most_at_once(attempts: list[Any], owner: str) -> int:
    """Most attempts of an owner that were open at one time, among those not begun before."""
    mine = [row for row in attempts if row.owner == owner]
    changes = sorted(
        [(row.started_at, 1) for row in mine] + [(row.ended_at, -1) for row in mine],
        key=lambda change: (change[0], change[1]),
    )
    count = most = 0
    for _, change in changes:
        count += change
        most = max(most, count)
    return most
