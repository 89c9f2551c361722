"""Positions from counts agree with starting every job in turn by the policy."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from versemill.jobs.execution.scheduling import (
    AGEING_SECONDS,
    BOOST_SECONDS,
    Head,
    Owner,
    order,
    raised_usage,
)
from versemill.jobs.states import Priority
from versemill.jobs.waiting.position import Group, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from versemill.jobs.waiting.position import Key

NOW = 10.0 * AGEING_SECONDS
PRIORITIES = tuple(Priority)


@dataclass(frozen=True)
class Waiting:
    owner: int
    priority: Priority
    queued_at: float
    id: int

    @property
    def key(self) -> Key:
        return self.queued_at, self.id


@dataclass(frozen=True)
class Case:
    jobs: Sequence[Waiting]
    owners: Mapping[int, Owner]
    turn: float


def case(seed: int) -> Case:
    """Some owners, who have used nothing, little or much, with jobs of all ages."""
    chance = random.Random(seed)
    owners = {}
    for owner in range(1, chance.randint(2, 6)):
        used = chance.choice([0.0, 0.0, 600.0, float(chance.randint(0, 9000)), 3 * BOOST_SECONDS])
        started = {
            priority: NOW - chance.choice([60.0, 1.5 * AGEING_SECONDS, 3.2 * AGEING_SECONDS])
            for priority in PRIORITIES
            if chance.random() < 0.4
        }
        owners[owner] = Owner(usage=used, running=chance.randint(0, 1), started=started)
    longest = chance.choice([50.0, 4 * AGEING_SECONDS])
    few = chance.choice([PRIORITIES[1:2], PRIORITIES])
    jobs = [
        Waiting(
            owner=chance.choice(list(owners)),
            priority=chance.choice(few),
            queued_at=NOW - float(chance.randint(0, int(longest))),
            id=number,
        )
        for number in range(1, chance.randint(2, 60))
    ]
    return Case(jobs, owners, turn=float(chance.choice([7, 600, 3600, int(BOOST_SECONDS)])))


def started_in_turn(case: Case) -> list[Waiting]:
    """Starts every job by the policy, one after the other."""
    owners, left = dict(case.owners), sorted(case.jobs, key=lambda job: job.key)
    active = {job.owner for job in left} | {i for i, owner in owners.items() if owner.running}
    found = []
    while left:
        firsts: dict[tuple[int, Priority], Waiting] = {}
        for job in left:
            firsts.setdefault((job.owner, job.priority), job)
        heads = [
            Head(job_id=job.id, owner_id=job.owner, priority=job.priority, queued_at=job.queued_at)
            for job in firsts.values()
        ]
        head = order(heads, owners, NOW)[0]
        owner = owners[head.owner_id]
        usage = raised_usage(head.owner_id, {i: owners[i] for i in active}) + case.turn
        started = {**owner.started, head.priority: NOW}
        owners[head.owner_id] = replace(owner, usage=usage, started=started)
        job = next(job for job in left if job.id == head.job_id)
        left.remove(job)
        found.append(job)
    return found


def worked_out(case: Case) -> tuple[Queue, dict[int, int]]:
    """The queue, and the number of each job among its owner's of its priority."""
    lists: dict[tuple[int, Priority], list[Waiting]] = defaultdict(list)
    for job in sorted(case.jobs, key=lambda job: job.key):
        lists[job.owner, job.priority].append(job)
    groups = [
        Group(owner_id=o, priority=p, count=len(jobs), first_queued_at=jobs[0].queued_at)
        for (o, p), jobs in lists.items()
    ]
    queue = Queue(
        groups,
        case.owners,
        NOW,
        case.turn,
        lambda owner, priority, number: lists[owner, priority][number - 1].key,
    )
    return queue, {job.id: i for jobs in lists.values() for i, job in enumerate(jobs, 1)}


def keys_of(case: Case) -> Callable[[int, Priority, int], list[Key]]:
    def keys(owner: int, priority: Priority, most: int) -> list[Key]:
        alike = [j.key for j in case.jobs if (j.owner, j.priority) == (owner, priority)]
        return sorted(alike)[:most]

    return keys


@pytest.mark.parametrize("block", range(10))
def test_every_position_is_that_of_the_simulation(block: int) -> None:
    for seed in range(block * 60, block * 60 + 60):
        given = case(seed)
        simulated = started_in_turn(given)
        queue, numbers = worked_out(given)
        for i, job in enumerate(simulated):
            place = queue.place(job.owner, job.priority, numbers[job.id], job.key)
            assert place.before == Counter(other.owner for other in simulated[:i]), f"seed {seed}"
            assert place.position == i + 1


def test_the_first_of_the_queue_are_those_of_the_simulation() -> None:
    for seed in range(200):
        given = case(seed)
        queue, _ = worked_out(given)
        simulated = [job.id for job in started_in_turn(given)]
        for most in (1, 5, 100):
            assert queue.first(most, keys_of(given)) == simulated[:most], f"seed {seed}"


def test_a_hundred_thousand_jobs_are_not_gone_through() -> None:
    groups = [
        Group(owner_id=owner, priority=Priority.NORMAL, count=2000, first_queued_at=0.0)
        for owner in range(50)
    ]
    asked = []

    def nth(owner: int, _priority: Priority, number: int) -> Key:
        asked.append(number)
        return 0.0, owner + 50 * number

    owners = {owner: Owner(usage=float(owner)) for owner in range(50)}
    queue = Queue(groups, owners, 1.0, 600.0, nth)
    assert queue.place(49, Priority.NORMAL, 2000, (0.0, 99_999)).position == 100_000
    assert not asked
