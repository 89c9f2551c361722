"""How many jobs start before a waiting one, worked out from counts.

Starting every job in turn by `scheduling.order` would be exact and slow. The same result follows
from what a turn does: it adds the duration of a job to its owner's usage. On one level (priority
and ageing) an owner's jobs therefore start at usages that grow by one turn each, and the jobs of
all owners start in the order of these usages. So of each other owner those jobs start before that
have a lower usage at their start; a division finds how many.

All jobs are taken to last equally long, and nobody to submit or cancel anything meanwhile. The
limits of owners are not followed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from versemill.jobs.execution.scheduling import BOOST_SECONDS, Head, level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from versemill.jobs.execution.scheduling import Owner
    from versemill.jobs.states import Priority

Key: TypeAlias = tuple[Any, int]
"""When a job was queued, and its number: what decides between equal usages."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The waiting jobs of one owner and priority.

    Attributes:
        count: how many there are, at least one.
        first_queued_at: when the first of them was queued, in seconds.
    """

    owner_id: int
    priority: Priority
    count: int
    first_queued_at: float


@dataclass(frozen=True, kw_only=True)
class Place:
    """A job's place in the queue.

    Attributes:
        position: 1 for the job that is next.
        before: how many jobs of each owner start before it; owners without one are left out.
    """

    position: int
    before: Mapping[int, int]


@dataclass(kw_only=True)
class _Line:
    """An owner's jobs on one level.

    Attributes:
        skipped: jobs at the head of `priority` that stand on a higher level, having aged.
        count: jobs of `priority`, without those.
        aged: the first jobs of lower priorities that have aged to this level.
        first: usage at the start of the first job.
        later: usage at the start of another, less the turns of those before it.
    """

    priority: Priority | None = None
    skipped: int = 0
    count: int = 0
    aged: list[Priority] = field(default_factory=list)
    first: float = 0.0
    later: float = 0.0

    @property
    def size(self) -> int:
        return self.count + len(self.aged)

    def usage(self, number: int, turn: float) -> float:
        """The owner's usage at the start of the job of this number, from 1."""
        return self.first if number == 1 else self.later + (number - 1) * turn

    def starting_below(self, usage: float, turn: float) -> int:
        """How many of the jobs start at a lower usage."""
        if self.first >= usage:
            return 0
        found = max(1, min(self.size, math.ceil((usage - self.later) / turn)))
        while found < self.size and self.usage(found + 1, turn) < usage:  # a division rounds
            found += 1
        while self.usage(found, turn) >= usage:
            found -= 1
        return found


class Queue:
    """Everybody's waiting jobs, in the order in which they start.

    Args:
        groups: all jobs that compete for the same places.
        owners: everybody, as the policy sees them.
        now: seconds, on the clock of the groups and owners.
        turn: seconds by which a job raises its owner's usage, above 0.
        nth: the key of the job of an owner and priority that has this number, from 1.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        owners: Mapping[int, Owner],
        now: float,
        turn: float,
        nth: Callable[[int, Priority, int], Key],
    ) -> None:
        self._turn = min(turn, BOOST_SECONDS)
        self._nth = nth
        groups = list(groups)
        self._aged: dict[tuple[int, Priority], int] = {}
        self._lines: dict[int, dict[int, _Line]] = defaultdict(dict)
        for group in groups:
            self._add(group, owners[group.owner_id], now)
        self._levels = sorted(self._lines, reverse=True)
        self._set_usages(groups, owners)

    def place(self, owner_id: int, priority: Priority, number: int, key: Key) -> Place:
        """Where a job stands.

        Args:
            owner_id: whose it is.
            priority: its own.
            number: its number among the owner's jobs of that priority, from 1, in queue order.
            key: its own.
        """
        at = self._aged.get((owner_id, priority)) if number == 1 else None
        aged = at is not None
        at = priority.level if at is None else at
        before: dict[int, int] = defaultdict(int)
        for higher in self._levels:
            if higher > at:
                for other, line in self._lines[higher].items():
                    before[other] += line.size
        mine = self._lines[at][owner_id]
        own = self._own_before(owner_id, mine, number, key, aged=aged)
        before[owner_id] += own
        usage = mine.usage(own + 1, self._turn)
        for other, line in self._lines[at].items():
            if other != owner_id:
                before[other] += self._others_before(other, line, usage, key)
        counts = {other: count for other, count in before.items() if count}
        return Place(position=1 + sum(counts.values()), before=counts)

    def first(self, most: int, keys: Callable[[int, Priority, int], Sequence[Key]]) -> list[int]:
        """The ids of the jobs that start first.

        Args:
            most: at most so many.
            keys: the keys of the first so many jobs of an owner and priority, in their order.
        """
        found: list[int] = []
        for at in self._levels:
            rows = [
                (line.usage(i + 1, self._turn), key)
                for owner_id, line in self._lines[at].items()
                for i, key in enumerate(_line_keys(owner_id, line, most - len(found), keys))
            ]
            found += [key[1] for _, key in sorted(rows)[: most - len(found)]]
            if len(found) >= most:
                break
        return found

    def _add(self, group: Group, owner: Owner, now: float) -> None:
        head = Head(
            job_id=0,
            owner_id=group.owner_id,
            priority=group.priority,
            queued_at=group.first_queued_at,
        )
        at, base = level(head, owner, now), group.priority.level
        skipped = int(at > base)
        if skipped:
            self._aged[group.owner_id, group.priority] = at
            line = self._lines[at].setdefault(group.owner_id, _Line())
            line.aged.append(group.priority)
        if group.count > skipped:
            line = self._lines[base].setdefault(group.owner_id, _Line())
            line.priority, line.skipped = group.priority, skipped
            line.count = group.count - skipped

    def _set_usages(self, groups: Sequence[Group], owners: Mapping[int, Owner]) -> None:
        """Follows the usages from the highest level down; a start raises them (`raised_usage`).

        On one level nobody's start raises the bound for the others: whoever starts has less usage
        than all others there, and a turn is no longer than `BOOST_SECONDS`.
        """
        active = {group.owner_id for group in groups} | {i for i, o in owners.items() if o.running}
        usage = {owner_id: owners[owner_id].usage for owner_id in active}
        for at in self._levels:
            floor = max(usage.values()) - BOOST_SECONDS
            for owner_id, line in self._lines[at].items():
                line.first = usage[owner_id]
                line.later = max(line.first, floor)
            for owner_id, line in self._lines[at].items():
                usage[owner_id] = line.later + line.size * self._turn

    def _own_before(self, owner_id: int, line: _Line, number: int, key: Key, *, aged: bool) -> int:
        others = sum(self._nth(owner_id, p, 1) < key for p in line.aged)
        if not aged:
            return number - 1 - line.skipped + others
        return self._queued_before(owner_id, line, key) + others

    def _queued_before(self, owner_id: int, line: _Line, key: Key) -> int:
        """How many of a line's jobs that have not aged were queued before."""
        if line.priority is None:
            return 0
        low, high = 0, line.count
        while low < high:
            middle = (low + high) // 2
            if self._nth(owner_id, line.priority, line.skipped + middle + 1) < key:
                low = middle + 1
            else:
                high = middle
        return low

    def _others_before(self, owner_id: int, line: _Line, usage: float, key: Key) -> int:
        found = line.starting_below(usage, self._turn)
        if found < line.size and line.usage(found + 1, self._turn) == usage:
            found += self._key(owner_id, line, found + 1) < key
        return found

    def _key(self, owner_id: int, line: _Line, number: int) -> Key:
        """The key of the job of this number on a line, from 1.

        At least `number` less the aged ones of the jobs before it have not aged, so that only few
        are looked at.
        """
        aged = [self._nth(owner_id, priority, 1) for priority in line.aged]
        if line.priority is None:
            return sorted(aged)[number - 1]
        from_ = max(1, number - len(aged))
        keys = [
            self._nth(owner_id, line.priority, line.skipped + each)
            for each in range(from_, min(number, line.count) + 1)
        ]
        return sorted([*keys, *aged])[number - from_]


def _line_keys(
    owner_id: int,
    line: _Line,
    most: int,
    keys: Callable[[int, Priority, int], Sequence[Key]],
) -> Sequence[Key]:
    """The keys of a line's first jobs, in their order."""
    found: Sequence[Key] = ()
    if line.priority is not None:
        wanted = line.skipped + min(most, line.count)
        found = keys(owner_id, line.priority, wanted)[line.skipped : wanted]
    if not line.aged:
        return found
    return sorted([*found, *(key for p in line.aged for key in keys(owner_id, p, 1))])[:most]
