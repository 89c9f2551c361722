"""Waiting jobs as listings show them: position, reason and expected start."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from versemill.jobs.notices import HeldUntil
from versemill.jobs.states import State
from versemill.jobs.waiting import reasons
from versemill.jobs.waiting.pools import Pool
from versemill.jobs.waiting.snapshot import Snapshot
from versemill.jobs.waiting.start_times import as_range, expected_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from versemill.jobs.notices import WaitingReason
    from versemill.jobs.storage.plain_sql import PlainSQL
    from versemill.jobs.views import JobView
    from versemill.jobs.waiting.position import Place
    from versemill.jobs.waiting.snapshot import Waiter


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """How things stand for a waiting job.

    Attributes:
        position: 1 if it is next; None if it does not take part in the queue now.
        reason: why it waits; None if a free place may take it at once.
        expected_start: from when to when; None if nothing is known.
    """

    position: int | None
    reason: WaitingReason | None
    expected_start: tuple[datetime, datetime] | None


def with_outlook(sql: PlainSQL, jobs: Sequence[JobView]) -> list[JobView]:
    """The jobs, those that wait with their position, reason and expected start."""
    waiting = [job.id for job in jobs if job.state is State.QUEUED]
    if not waiting:
        return list(jobs)
    found = WaitingJobs(sql).outlooks(waiting)
    return [shown(job, found[job.id]) if job.id in found else job for job in jobs]


def shown(job: JobView, outlook: Outlook) -> JobView:
    """A job as listings show it."""
    return replace(
        job,
        position=outlook.position,
        reason=None if outlook.reason is None else str(outlook.reason),
        expected_start=outlook.expected_start,
    )


class WaitingJobs:
    """The waiting jobs at one moment.

    Args:
        sql: the transaction to read in.
    """

    def __init__(self, sql: PlainSQL) -> None:
        self.snapshot = Snapshot(sql)
        self._pools: dict[frozenset[str], Pool] = {}
        self._rivals: dict[str, frozenset[str]] = {}

    def outlooks(self, ids: Iterable[int]) -> dict[int, Outlook]:
        """How things stand for those of the jobs that wait."""
        jobs = self.snapshot.waiters(ids)
        places = self._places(jobs.values())
        return {i: self._outlook(job, places.get(i)) for i, job in jobs.items()}

    def first(self, most: int) -> list[int]:
        """The ids of the jobs that start first, at most so many; those of each pool in turn."""
        pools = {self._rivals_of(c.requirements) for c in self.snapshot.counts}
        ranked = [
            (position, job_id)
            for rivals in pools
            for position, job_id in enumerate(self._pool(rivals).first(most))
        ]
        return list(dict.fromkeys(job_id for _, job_id in sorted(ranked)))[:most]

    def _places(self, jobs: Iterable[Waiter]) -> dict[int, Place]:
        pools: dict[frozenset[str], list[Waiter]] = defaultdict(list)
        for job in jobs:
            later = job.queued_at > self.snapshot.now
            if not later and reasons.not_yet(self.snapshot, job) is None:
                pools[self._rivals_of(job.requirements)].append(job)
        found: dict[int, Place] = {}
        for rivals, theirs in pools.items():
            found |= self._pool(rivals).places(theirs)
        return found

    def _outlook(self, job: Waiter, place: Place | None) -> Outlook:
        why = reasons.reason(self.snapshot, job, place)
        expected = None
        if place is not None or isinstance(why, HeldUntil):
            expected = self._expected(job, place)
        return Outlook(
            position=None if place is None else place.position,
            reason=why,
            expected_start=expected,
        )

    def _rivals_of(self, requirements: str) -> frozenset[str]:
        """The sets of requirements whose jobs may take the same places."""
        if requirements not in self._rivals:
            mine = self._devices(requirements)
            every = {counted.requirements for counted in self.snapshot.counts} | {requirements}
            self._rivals[requirements] = frozenset(
                other for other in every if other == requirements or mine & self._devices(other)
            )
        return self._rivals[requirements]

    def _devices(self, requirements: str) -> set[tuple[str, str]]:
        able = reasons.able_devices(self.snapshot, requirements)
        return {(worker.id, device.id) for worker, device in able}

    def _pool(self, rivals: frozenset[str]) -> Pool:
        if rivals not in self._pools:
            self._pools[rivals] = Pool(self.snapshot, rivals)
        return self._pools[rivals]

    def _expected(self, job: Waiter, place: Place | None) -> tuple[datetime, datetime] | None:
        seconds = expected_seconds(self.snapshot, job, place)
        if seconds is None:
            return None
        now = datetime.fromtimestamp(self.snapshot.now, UTC)
        earliest, latest = (now + timedelta(seconds=each) for each in as_range(seconds))
        return earliest, latest
