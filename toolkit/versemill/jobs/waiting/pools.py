"""The waiting jobs that compete for the same places."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from versemill.jobs.devices import CPU, GPU, share_of
from versemill.jobs.execution.scheduling import STARTED_SECONDS, at_limit
from versemill.jobs.waiting.position import Group, Queue
from versemill.jobs.waiting.reasons import able_devices, open_devices

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from versemill.jobs.states import Priority
    from versemill.jobs.waiting.position import Key, Place
    from versemill.jobs.waiting.snapshot import Counted, Snapshot, Waiter

_LEAST_SECONDS = 1.0


class Pool:
    """Waiting jobs in their order.

    Args:
        snapshot: of all that decides.
        rivals: their sets of requirements.
    """

    def __init__(self, snapshot: Snapshot, rivals: frozenset[str]) -> None:
        self._snapshot = snapshot
        self._rivals = rivals
        self._keys_known: dict[tuple[int, Priority, int], Key] = {}
        self._unknown: Key = (None, 0)
        self._wanted: set[tuple[int, Priority, int]] | None = None
        kinds = {device.kind for digest in rivals for _, device in able_devices(snapshot, digest)}
        self._owners = snapshot.owners(GPU if GPU in kinds else CPU)
        self._counts = [c for c in snapshot.counts if c.requirements in rivals]
        self._sizes: dict[tuple[int, Priority], int] = defaultdict(int)
        for counted in self._counts:
            self._sizes[counted.owner_id, counted.priority] += counted.count
        self._free = [c for c in self._counts if not self._held_up(c)]
        self._all = self._queue(self._free)
        self._with_own: dict[int, Queue] = {}

    def first(self, most: int) -> list[int]:
        """The ids of the jobs that start first, at most so many."""
        return self._all.first(most, self._first_keys)

    def places(self, jobs: Collection[Waiter]) -> dict[int, Place]:
        """Where jobs stand, by their ids; those that have gone meanwhile are left out."""
        numbers = self._snapshot.numbers(jobs, self._rivals)
        there = [
            job
            for job in jobs
            if numbers.get(job.id, math.inf) <= self._sizes[job.owner_id, job.priority]
        ]
        self._wanted = set()
        for job in there:  # finds out which keys are compared, so that one query reads them all
            self._place(job, numbers[job.id])
        wanted, self._wanted = self._wanted, None
        if wanted:
            self._keys_known.update(self._snapshot.keys_at(self._rivals, wanted))
        return {job.id: self._place(job, numbers[job.id]) for job in there}

    def _place(self, job: Waiter, number: int) -> Place:
        """Where a job stands. Jobs of other owners who are at a limit do not come before it.

        Args:
            job: the job.
            number: its number among its owner's of its priority.
        """
        self._unknown = job.key
        mine = [c for c in self._counts if c.owner_id == job.owner_id]
        queue = self._all
        if any(c not in self._free for c in mine):
            if job.owner_id not in self._with_own:
                others = [c for c in self._free if c.owner_id != job.owner_id]
                self._with_own[job.owner_id] = self._queue([*others, *mine])
            queue = self._with_own[job.owner_id]
        return queue.place(job.owner_id, job.priority, number, job.key)

    def _queue(self, counts: Sequence[Counted]) -> Queue:
        together: dict[tuple[int, Priority], list[Counted]] = defaultdict(list)
        for counted in counts:
            together[counted.owner_id, counted.priority].append(counted)
        groups = [
            Group(
                owner_id=owner_id,
                priority=priority,
                count=sum(c.count for c in parts),
                first_queued_at=min(c.first_queued_at for c in parts),
            )
            for (owner_id, priority), parts in together.items()
        ]
        turn = self._snapshot.mean_duration() or STARTED_SECONDS
        turn = max(turn, _LEAST_SECONDS)
        return Queue(groups, self._owners, self._snapshot.now, turn, self._nth)

    def _held_up(self, counted: Counted) -> bool:
        """Whether none of these jobs can start, whatever places there are."""
        owner = self._owners[counted.owner_id]
        needs = self._snapshot.needs[counted.requirements]
        able = open_devices(self._snapshot, counted.requirements, counted.owner_id)
        shares = {share_of(needs, d) if d.kind == GPU else 0.0 for _, d in able}
        return owner.disabled or all(at_limit(owner, gpu_share=share) for share in shares)

    def _nth(self, owner_id: int, priority: Priority, number: int) -> Key:
        wanted = owner_id, priority, number
        if self._wanted is not None:
            self._wanted.add(wanted)
            return self._unknown
        if wanted not in self._keys_known:
            self._keys_known.update(self._snapshot.keys_at(self._rivals, [wanted]))
        # A job that has been started meanwhile is before nobody.
        return self._keys_known.get(wanted, self._unknown)

    def _first_keys(self, owner_id: int, priority: Priority, most: int) -> Sequence[Key]:
        return self._snapshot.keys(owner_id, priority, self._rivals, most)
