"""The policy in simulated time."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from versemill.jobs.execution.scheduling import (
    AGEING_SECONDS,
    BOOST_SECONDS,
    HALF_LIFE_SECONDS,
    NO_LIMITS,
    Head,
    Limits,
    Owner,
    at_limit,
    decayed,
    level,
    order,
    raised_usage,
    running_usage,
)
from versemill.jobs.states import Priority

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3600.0
SEEDS = range(6)


@dataclass
class Work:
    """A job of the simulation."""

    id: int
    owner: int
    queued_at: float
    seconds: float
    priority: Priority = Priority.NORMAL
    runnable: Callable[[float], bool] = lambda _now: True
    share: float = 1.0


@dataclass
class Cluster:
    """Devices, a queue and the policy, in simulated time."""

    devices: int
    limits: dict[int, Limits] = field(default_factory=dict)
    now: float = 0.0
    waiting: list[Work] = field(default_factory=list)
    running: list[tuple[float, int, float, Work]] = field(default_factory=list)
    usage: dict[int, tuple[float, float]] = field(default_factory=dict)
    started: dict[int, dict[Priority, float]] = field(default_factory=lambda: defaultdict(dict))
    starts: list[tuple[float, Work]] = field(default_factory=list)
    served: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    def owner(self, owner_id: int) -> Owner:
        stored, as_of = self.usage.get(owner_id, (0.0, 0.0))
        mine = [(start, job) for _, _, start, job in self.running if job.owner == owner_id]
        held = sum(running_usage(job.share, self.now - start) for start, job in mine)
        return Owner(
            usage=decayed(stored, self.now - as_of) + held,
            running=len(mine),
            gpus=sum(job.share for _, job in mine),
            started=self.started[owner_id],
            limits=self.limits.get(owner_id, NO_LIMITS),
        )

    def charge(self, owner_id: int, seconds: float) -> None:
        stored, as_of = self.usage.get(owner_id, (0.0, 0.0))
        self.usage[owner_id] = (decayed(stored, self.now - as_of) + seconds, self.now)

    def run(self, arrivals: list[Work], until: float) -> None:
        arrivals = sorted(arrivals, key=lambda job: (job.queued_at, job.id))
        while self.now < until:
            while arrivals and arrivals[0].queued_at <= self.now:
                self.waiting.append(arrivals.pop(0))
            while len(self.running) < self.devices and self.start_one():
                pass
            ends = [each[0] for each in self.running[:1]]
            events = [*ends, *(job.queued_at for job in arrivals[:1]), until]
            self.now = max(self.now, min(events))
            while self.running and self.running[0][0] <= self.now:
                _, _, start, job = heapq.heappop(self.running)
                self.charge(job.owner, job.share * (self.now - start))
                self.served[job.owner] += self.now - start

    def start_one(self) -> bool:
        first: dict[tuple[int, Priority, bool], Work] = {}
        for job in self.waiting:
            first.setdefault((job.owner, job.priority, job.runnable(self.now)), job)
        heads = {
            job.id: Head(
                job_id=job.id, owner_id=job.owner, priority=job.priority, queued_at=job.queued_at
            )
            for job in first.values()
        }
        busy = {job.owner for *_, job in self.running}
        owners = {i: self.owner(i) for i in busy | {job.owner for job in self.waiting}}
        jobs = {job.id: job for job in first.values()}
        for head in order(heads.values(), owners, self.now):
            job = jobs[head.job_id]
            if not job.runnable(self.now) or at_limit(owners[job.owner], gpu_share=job.share):
                continue
            raise_by = raised_usage(job.owner, owners) - owners[job.owner].usage
            self.charge(job.owner, raise_by)
            self.started[job.owner][job.priority] = self.now
            self.waiting.remove(job)
            heapq.heappush(self.running, (self.now + job.seconds, job.id, self.now, job))
            self.starts.append((self.now, job))
            for limit_owner, limits in self.limits.items():
                held = [each for *_, each in self.running if each.owner == limit_owner]
                assert limits.running is None or len(held) <= limits.running
            return True
        return False


def backlog(random_: random.Random, owner: int, *, seconds: float, until: float) -> list[Work]:
    """Jobs of one owner that arrive early enough for some always to wait."""
    jobs, total = [], 0.0
    while total < until:
        length = random_.expovariate(1 / seconds)
        arrives = max(0.0, total * 0.2 - random_.random() * HOUR)
        jobs.append(Work(owner * 100_000 + len(jobs), owner, arrives, length))
        total += length
    return jobs


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_owners_get_equal_shares(seed: int) -> None:
    """With mixed lengths, numbers and times of arrival."""
    random_ = random.Random(seed)
    until = 300 * HOUR
    cluster = Cluster(devices=4)
    lengths = [random_.uniform(0.1, 2) * HOUR for _ in range(4)]
    arrivals = [
        job
        for owner, seconds in enumerate(lengths)
        for job in backlog(random_, owner, seconds=seconds, until=until * 4)
    ]
    cluster.run(arrivals, until)
    fair = sum(cluster.served.values()) / 4
    for owner, seconds in cluster.served.items():
        assert seconds == pytest.approx(fair, rel=0.05), owner


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_starves(seed: int) -> None:
    """A job of low priority starts although urgent ones of others never end."""
    random_ = random.Random(seed)
    urgent = [
        Work(i, 1, i * 0.5 * HOUR, random_.uniform(0.8, 1.2) * HOUR, Priority.URGENT)
        for i in range(400)
    ]
    low = Work(1000, 2, 1.0, HOUR, Priority.LOW)
    cluster = Cluster(devices=1)
    cluster.run([*urgent, low], 200 * HOUR)
    start = next(at for at, job in cluster.starts if job is low)
    assert 2 * AGEING_SECONDS < start <= 4 * AGEING_SECONDS


@pytest.mark.parametrize("seed", SEEDS)
def test_limits_hold_exactly(seed: int) -> None:
    """Each start checks that no owner is above the limit; they are reached, too."""
    random_ = random.Random(seed)
    limits = {0: Limits(running=2), 1: Limits(running=0), 2: Limits(running=1)}
    jobs = [
        Work(i, random_.randrange(4), random_.uniform(0, HOUR), random_.uniform(1, HOUR))
        for i in range(200)
    ]
    cluster = Cluster(devices=8, limits=limits)
    cluster.run(jobs, 300 * HOUR)
    assert {job.owner for job in cluster.waiting} == {1}
    assert {job.owner for _, job in cluster.starts} == {0, 2, 3}


@pytest.mark.parametrize("seed", SEEDS)
def test_who_was_away_gets_a_bounded_boost(seed: int) -> None:
    """One who comes back after a month is ahead by `BOOST_SECONDS`, and a job or two, at most."""
    random_ = random.Random(seed)
    away = 30 * 24 * HOUR
    until = away + 20 * 24 * HOUR
    steady = [Work(i, 1, 0.0, random_.uniform(0.5, 1.5) * HOUR) for i in range(2_000)]
    back = [Work(10_000 + i, 2, away, random_.uniform(0.5, 1.5) * HOUR) for i in range(2_000)]
    cluster = Cluster(devices=1)
    cluster.run([*steady, *back], until)
    since = defaultdict(float)
    lead = 0.0
    for at, job in cluster.starts:
        if at >= away:
            since[job.owner] += job.seconds
            lead = max(lead, since[2] - since[1])
    assert BOOST_SECONDS * 0.7 < lead <= BOOST_SECONDS + 4 * HOUR


def test_a_head_that_cannot_run_hides_nobody() -> None:
    stuck = Work(1, 1, 0.0, HOUR, Priority.URGENT, runnable=lambda now: now > 50 * HOUR)
    behind = Work(2, 1, 1.0, HOUR)
    other, last = Work(3, 2, 2.0, HOUR), Work(4, 2, 60 * HOUR, HOUR)
    cluster = Cluster(devices=1)
    cluster.run([stuck, behind, other, last], 100 * HOUR)
    assert [job.id for _, job in cluster.starts] == [2, 3, 1, 4]


def test_time_given_back_is_no_punishment() -> None:
    """Of two with equal work, the one that lost an hour to others goes first."""
    lost = Owner(usage=2 * HOUR - HOUR)
    other = Owner(usage=2 * HOUR)
    heads = [
        Head(job_id=1, owner_id=2, priority=Priority.NORMAL, queued_at=0.0),
        Head(job_id=2, owner_id=1, priority=Priority.NORMAL, queued_at=5.0),
    ]
    assert [head.job_id for head in order(heads, {1: lost, 2: other}, 10.0)] == [2, 1]


def test_free_places_are_shared_out_in_turn() -> None:
    """Although none of the jobs has used anything yet."""
    jobs = [Work(i, i // 4, float(i), HOUR) for i in range(8)]
    cluster = Cluster(devices=4, now=10.0)
    cluster.run(jobs, 11.0)
    assert sorted(job.owner for _, job in cluster.starts) == [0, 0, 1, 1]


def test_priorities_come_first_then_usage_then_time() -> None:
    heads = [
        Head(job_id=1, owner_id=1, priority=Priority.LOW, queued_at=0.0),
        Head(job_id=2, owner_id=1, priority=Priority.NORMAL, queued_at=9.0),
        Head(job_id=3, owner_id=2, priority=Priority.NORMAL, queued_at=8.0),
        Head(job_id=4, owner_id=3, priority=Priority.NORMAL, queued_at=7.0),
        Head(job_id=5, owner_id=4, priority=Priority.HIGH, queued_at=9.0),
        Head(job_id=6, owner_id=4, priority=Priority.URGENT, queued_at=9.0),
    ]
    owners = {1: Owner(usage=5.0), 2: Owner(usage=5.0), 3: Owner(usage=6.0), 4: Owner(usage=9e9)}
    assert [head.job_id for head in order(heads, owners, 10.0)] == [6, 5, 3, 2, 4, 1]


def test_a_long_queue_alone_raises_no_level() -> None:
    """What counts is how long its owner has had no turn at this priority."""
    head = Head(job_id=1, owner_id=1, priority=Priority.LOW, queued_at=0.0)
    now = 10 * AGEING_SECONDS
    waiting = Owner()
    assert level(head, waiting, now) == 10
    assert level(head, replace(waiting, started={Priority.LOW: now - 1}), now) == 0
    assert level(head, replace(waiting, started={Priority.HIGH: now - 1}), now) == 10


def test_usage_halves() -> None:
    assert decayed(100.0, HALF_LIFE_SECONDS) == 50.0
    assert decayed(100.0, -5.0) == 100.0  # a clock that went back adds nothing


@pytest.mark.parametrize(
    ("limits", "running", "gpus", "share", "reached"),
    [
        (NO_LIMITS, 100, 100.0, 1.0, None),
        (Limits(running=0), 0, 0.0, 0.0, "running"),
        (Limits(running=2), 1, 0.0, 0.0, None),
        (Limits(gpus=1), 5, 0.5, 0.5, None),
        (Limits(gpus=1), 5, 0.75, 0.5, "gpus"),
        (Limits(gpus=0), 0, 0.0, 0.25, "gpus"),
        (Limits(gpus=0), 0, 0.0, 0.0, None),
    ],
)
def test_limits(
    limits: Limits, running: int, gpus: float, share: float, reached: str | None
) -> None:
    owner = Owner(running=running, gpus=gpus, limits=limits)
    assert at_limit(owner, gpu_share=share) == reached
