"""What a job can be, what may be asked of it, and how often it is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from versemill.errors import JobStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

LEASE_SECONDS = 30.0
"""How long a claim holds without renewal, and how long a worker counts as alive unseen."""


class Role(StrEnum):
    """What somebody may do: members steer their own jobs, admins everybody's."""

    MEMBER = "member"
    ADMIN = "admin"


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless a person asks for it."""
        return self in {State.SUCCEEDED, State.FAILED, State.CANCELLED}


class Priority(StrEnum):
    """How urgent a job is, least first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"

    @property
    def level(self) -> int:
        """0 for low to 3 for urgent."""
        return tuple(Priority).index(self)


class Request(StrEnum):
    """What is wanted of a running job; the stronger wins.

    People ask for the first four, weakest first, and these are stored. A job is pre-empted by the
    queue, which needs its place for an urgent one (`Job.preempted_for`); anything that people ask
    for is stronger.
    """

    NONE = "none"
    YIELD = "yield"
    PAUSE = "pause"
    CANCEL = "cancel"
    PREEMPT = "preempt"

    @property
    def weaker(self) -> tuple[Request, ...]:
        """The stored requests that this one overrides."""
        ranked = tuple(Request)
        return ranked[: ranked.index(self)]


class FailureClass(StrEnum):
    """Why an attempt failed; decides whether and when the job is tried again."""

    USER = "user"
    OUT_OF_MEMORY = "out_of_memory"
    INFRASTRUCTURE = "infrastructure"
    STALLED = "stalled"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FAILED = "failed"
    YIELDED = "yielded"
    LEASE_EXPIRED = "lease expired"


TRANSITIONS: Mapping[tuple[State, State], str] = MappingProxyType(
    {
        (State.QUEUED, State.RUNNING): "a worker claimed the job",
        (State.QUEUED, State.PAUSED): "pause",
        (State.QUEUED, State.CANCELLED): "cancel",
        (State.RUNNING, State.SUCCEEDED): "trained to its end",
        (State.RUNNING, State.FAILED): "failed, and is not tried again",
        (State.RUNNING, State.CANCELLED): "cancel, after a checkpoint",
        (State.RUNNING, State.PAUSED): "pause, after a checkpoint",
        (State.RUNNING, State.QUEUED): "lease expired, handed over, or tried again",
        (State.PAUSED, State.QUEUED): "resume",
        (State.PAUSED, State.CANCELLED): "cancel",
        (State.FAILED, State.QUEUED): "retry",
        (State.CANCELLED, State.QUEUED): "retry",
        (State.SUCCEEDED, State.QUEUED): "resume with more epochs",
    }
)
"""Every move a job can make, and what makes it."""

OUTCOMES: Mapping[State, Outcome] = MappingProxyType(
    {
        State.SUCCEEDED: Outcome.SUCCEEDED,
        State.PAUSED: Outcome.PAUSED,
        State.CANCELLED: Outcome.CANCELLED,
        State.FAILED: Outcome.FAILED,
        State.QUEUED: Outcome.YIELDED,
    }
)
"""How an attempt ended when nothing failed, by the state its job moved to."""


def check_transition(start: State, end: State) -> None:
    """Raises `JobStateError` unless `TRANSITIONS` has the move."""
    if (start, end) not in TRANSITIONS:
        allowed = ", ".join(to for came, to in TRANSITIONS if came is start) or "none"
        raise JobStateError(f"a job cannot go from {start} to {end}; from {start}: {allowed}")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often a failure of one class is tried again, and how soon.

    Attributes:
        cap: failures in a row, without a new checkpoint in between, that are tried again.
        first: seconds to wait after the first of them.
        second: seconds to wait after the second; doubled for each further one.
    """

    cap: int
    first: float = 0.0
    second: float = 2.0

    def allows(self, failures: int) -> bool:
        """Whether a job is tried again after so many failures in a row."""
        return failures <= self.cap

    def delay(self, failures: int) -> float:
        """Seconds to wait after the last of so many failures in a row (at least 1)."""
        return self.first if failures == 1 else self.second * 2.0 ** (failures - 2)


RETRIES: Mapping[FailureClass, RetryPolicy] = MappingProxyType(
    {
        FailureClass.USER: RetryPolicy(cap=0),
        FailureClass.OUT_OF_MEMORY: RetryPolicy(cap=1, first=2.0),
        FailureClass.STALLED: RetryPolicy(cap=2),
        FailureClass.INFRASTRUCTURE: RetryPolicy(cap=5),
    }
)

GPU_MEMORY_RETRIES = RetryPolicy(cap=3, first=2.0)
"""For a job that ran out of a GPU's memory: each time it is admitted with more."""
