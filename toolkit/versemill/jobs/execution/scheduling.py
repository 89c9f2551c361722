"""Who is next: the policy, as pure functions over what waits and what runs.

The queue is seen as **heads**: of all jobs that wait, the first of each owner, priority and set of
requirements. Heads are ordered by these keys, the first that differs decides:

1. **Level**, higher first: the priority (low 0, normal 1, high 2, urgent 3), plus one for each
   `AGEING_SECONDS` since the owner last had a job of this priority started (or since the head was
   queued, if that is later). So nothing waits for ever, and a long queue alone moves nobody ahead.
2. **Usage** of the owner, lower first: seconds times the share of a device held, halved every
   `HALF_LIFE_SECONDS`, apart for CPUs and GPUs. A running job counts from its start, and as
   `STARTED_SECONDS` at least, so that free places are shared out in turn.
3. **Time queued**, earlier first; then the job's number.

The head is started that comes first among those that can run: one that cannot hides none behind
it. Somebody who was away has less usage than the others; at the start of a job the usage is raised
to `BOOST_SECONDS` below the highest of those who are waiting or running, which bounds that
advantage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from versemill.jobs.devices import GPU

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from versemill.jobs.states import Priority

HALF_LIFE_SECONDS = 7 * 24 * 3600.0
AGEING_SECONDS = 24 * 3600.0
STARTED_SECONDS = 600.0
BOOST_SECONDS = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Head:
    """A job that waits at the head of its queue.

    Attributes:
        queued_at: seconds, on the clock that `order` is given the time of.
        requirements: digest of what it requires.
        keeps_place_on: id of a worker that keeps a place for it; None if none does.
    """

    job_id: int
    owner_id: int
    priority: Priority
    queued_at: float
    requirements: str = ""
    keeps_place_on: str | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an owner may have at once; None where there is no limit.

    Attributes:
        running: jobs that run.
        queued: jobs that wait.
        gpus: GPUs held, by the shares of them that running jobs hold.
        urgent: urgent jobs that wait or run.
    """

    running: int | None = None
    queued: int | None = None
    gpus: int | None = None
    urgent: int | None = 0


NO_LIMITS = Limits(urgent=None)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """What the policy knows of an owner.

    Attributes:
        usage: device seconds up to now, decayed, running jobs included (see `running_usage`).
        running: number of jobs that run.
        gpus: shares of GPUs that they hold.
        started: when a job of each priority was last started.
    """

    usage: float = 0.0
    running: int = 0
    gpus: float = 0.0
    started: Mapping[Priority, float] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    disabled: bool = False


def decayed(seconds: float, elapsed: float) -> float:
    """What usage has become after so many seconds."""
    return seconds * math.exp2(-max(0.0, elapsed) / HALF_LIFE_SECONDS)


def running_usage(share: float, elapsed: float) -> float:
    """What a job that runs counts: its seconds so far, and a little from the start."""
    return share * max(elapsed, STARTED_SECONDS)


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """What the policy knows of a job that runs.

    Attributes:
        kind: of the device: `cpu` or `gpu`.
        share: of the device that it holds.
        seconds: since it was started.
    """

    kind: str
    share: float
    seconds: float


def owner_now(
    used: float,
    running: Collection[RunningJob],
    *,
    kind: str,
    started: Mapping[Priority, float],
    limits: Limits,
    disabled: bool,
) -> Owner:
    """An owner as the policy sees them on devices of one kind.

    Args:
        used: device seconds of that kind charged so far, decayed up to now.
        running: their jobs that run, on whatever devices.
        kind: `cpu` or `gpu`.
        started: when a job of each priority was last started.
        limits: theirs.
        disabled: whether their jobs are held.
    """
    now_used = sum(running_usage(job.share, job.seconds) for job in running if job.kind == kind)
    return Owner(
        usage=used + now_used,
        running=len(running),
        gpus=sum(job.share for job in running if job.kind == GPU),
        started=started,
        limits=limits,
        disabled=disabled,
    )


def level(head: Head, owner: Owner, now: float) -> int:
    """The priority of a head, raised by the time it has waited for its turn."""
    since = max(head.queued_at, owner.started.get(head.priority, head.queued_at))
    return head.priority.level + int(max(0.0, now - since) // AGEING_SECONDS)


def order(heads: Iterable[Head], owners: Mapping[int, Owner], now: float) -> list[Head]:
    """The heads, the next to be started first."""

    def key(head: Head) -> tuple[float, ...]:
        owner = owners[head.owner_id]
        return (-level(head, owner, now), owner.usage, head.queued_at, head.job_id)

    return sorted(heads, key=key)


def at_limit(owner: Owner, *, gpu_share: float = 0.0) -> str | None:
    """Which limit keeps another job of this owner from starting: `running` or `gpus`; else None.

    Args:
        owner: whose job it is.
        gpu_share: the share of a GPU that it would hold; 0 on a CPU.
    """
    limits = owner.limits
    if limits.running is not None and owner.running >= limits.running:
        return "running"
    if gpu_share and limits.gpus is not None and owner.gpus + gpu_share > limits.gpus + 1e-9:
        return "gpus"
    return None


def raised_usage(owner_id: int, owners: Mapping[int, Owner]) -> float:
    """The usage with which an owner's job is started: not far below that of other active owners.

    Args:
        owner_id: who has a job started.
        owners: everybody who waits or runs.
    """
    highest = max(owner.usage for owner in owners.values())
    return max(owners[owner_id].usage, highest - BOOST_SECONDS)
