"""What listings show: frozen, complete without a database, and JSON when asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from versemill.jobs.json_values import View

if TYPE_CHECKING:
    from datetime import datetime

    from versemill.jobs.devices import Device
    from versemill.jobs.notices import WaitingReason
    from versemill.jobs.states import FailureClass, Outcome, Priority, Request, Role, State
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.requirements import OfferedPlugin, Requirement


@dataclass(frozen=True, kw_only=True)
class JobView(View):
    """A job in a listing.

    Attributes:
        state_shown: the state in one word for people: `interrupted` when its worker is gone
            and nobody has taken over yet, `pausing` and the like while a request is pending.
        epoch: the epoch in progress, from 1; 0 before the first.
        train_perplexity: running mean of the epoch, per character; alone it only shows memorising.
        worker: name of the worker that runs it now.
        array: the array that it belongs to, if to one.
        array_values: the settings in which it differs from other members of its array.
        begin_at: when its owner wants it to begin; None for as soon as possible.
        time_limit: most seconds of device time, over all attempts; None for no limit.
        device: name of the device that it runs on now.
        position: of a waiting job in the queue, 1 for the one that is next; None if it does not
            take part in the queue now.
        reason: why it waits, in words; None if a free slot may take it at once.
        expected_start: from when to when it is expected to start; None if nothing is known.
    """

    id: int
    name: str
    owner: str
    state: State
    state_shown: str
    priority: Priority
    request: Request
    recipe: str
    corpus: str
    cell: str
    attempt: int
    step: int
    epoch: int
    epochs: int
    train_perplexity: float | None
    valid_perplexity: float | None
    characters_per_second: float | None
    seconds_left: float | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    worker: str | None
    array: str | None = None
    array_values: dict[str, Any] | None = None
    begin_at: datetime | None = None
    time_limit: float | None = None
    device: str | None = None
    position: int | None = None
    reason: str | None = None
    expected_start: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, kw_only=True)
class ArrayView(View):
    """An array in a listing, folded into one line.

    Attributes:
        first_id: the smallest id of its members.
        last_id: the largest.
        counts: how many members are in each state, states without any left out.
        corpus: of all members; None where they differ.
        cell: of all members; None where they differ.
        valid_perplexity: the best that a member has reported last.
    """

    name: str
    first_id: int
    last_id: int
    counts: dict[State, int]
    corpus: str | None
    cell: str | None
    valid_perplexity: float | None
    created_at: datetime

    @property
    def jobs(self) -> int:
        """How many members it has."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class UserView(View):
    """A user, with what they have; limits are None where there is none.

    Attributes:
        disabled: whether their jobs are held, and they may add none.
        running: number of jobs that run.
        queued: number of jobs that wait.
        urgent: number of urgent jobs that wait or run.
        running_limit: most jobs that run at once.
        queued_limit: most jobs that wait.
        gpu_limit: most GPUs held at once.
        urgent_limit: most urgent jobs that wait or run; does not bind admins.
    """

    name: str
    role: Role
    disabled: bool
    running: int
    queued: int
    urgent: int
    running_limit: int | None
    queued_limit: int | None
    gpu_limit: int | None
    urgent_limit: int | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class SubscriptionView(View):
    """Where somebody is told what happens to their jobs.

    Attributes:
        receiver: its URL, without what may be secret.
        sent: number of messages that it has taken.
        waiting: of those that are still to be sent.
        failed: of those that were given up.
        last_error: why the newest message that was not taken at once was not.
    """

    id: int
    receiver: str
    events: tuple[str, ...]
    sent: int
    waiting: int
    failed: int
    last_error: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class EventView(View):
    """Something that happened to a job."""

    at: datetime
    actor: str
    from_state: State | None
    to_state: State | None
    message: str


@dataclass(frozen=True, kw_only=True)
class AttemptView(View):
    """One attempt at a job.

    Attributes:
        failure: the class of its failure, if it failed.
        exit: how its trainer ended, such as `killed by signal 9 (SIGKILL)`.
        last_words: the last lines its trainer printed, if it failed.
        provenance: with what it computes: versions of packages, kernel plan, device, plugins and
            seed; None before it has begun.
    """

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    failure: FailureClass | None
    exit: str | None
    first_step: int | None
    last_step: int | None
    last_words: tuple[str, ...]
    provenance: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class OutputView(View):
    """The last 64 KiB an attempt's trainer wrote."""

    attempt: int
    worker: str
    output: str


@dataclass(frozen=True, kw_only=True)
class CheckpointView(View):
    """A complete checkpoint; `kinds` says why it is kept."""

    id: int
    step: int
    epoch: int
    kinds: tuple[str, ...]
    size: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class JobDetails(View):
    """Everything about a job but its curve, lyrics and output.

    `to_json` has the fields of `job` at its top level.

    Attributes:
        waiting: why it waits, if it does and a free slot may not take it at once.
        machine: the kind of machine that goes on with it bit for bit; None while any will do.
        plugins: those it was submitted with.
        requirements: those that a worker must have to go on with it.
        accepted_by: who has accepted that they change, until the next checkpoint.
    """

    job: JobView
    config: dict[str, Any]
    plugins: tuple[PluginRecord, ...]
    content_hash: str
    inexact: bool
    machine: str | None
    requirements: tuple[Requirement, ...]
    accepted_by: str | None
    waiting: WaitingReason | None
    result: dict[str, Any] | None
    events: tuple[EventView, ...]
    attempts: tuple[AttemptView, ...]
    checkpoints: tuple[CheckpointView, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values, the job's own fields first."""
        rest = super().to_json()
        del rest["job"]
        return self.job.to_json() | rest


@dataclass(frozen=True, kw_only=True)
class CurvePoint(View):
    """The figures of one report; perplexities and speed are per character."""

    epoch: int
    step: int
    train_perplexity: float
    valid_perplexity: float | None
    characters_per_second: float | None
    attempt: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class LyricView(View):
    """A text the model wrote while it was trained."""

    step: int
    epoch: int
    prefix: str
    text: str
    seed: int
    decoder: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class WorkerView(View):
    """A live worker; `busy` of its `slots` run a job.

    Attributes:
        machines: the kinds of machine its slots are; None until it has found out.
        drained_by: who asked it to hand its jobs over and end.
        plugins: those it has that jobs may require; None until it has found out.
        labels: what jobs may ask for.
        only_job: the one job it works on; None for any.
        devices: its devices as last measured; None until it has found out.
    """

    id: str
    name: str
    host: str
    pid: int
    slots: int
    busy: int
    version: str
    started_at: datetime
    seen_at: datetime
    machines: list[str] | None
    drained_by: str | None
    plugins: tuple[OfferedPlugin, ...] | None
    labels: tuple[str, ...]
    only_job: int | None
    devices: tuple[Device, ...] | None


@dataclass(frozen=True, kw_only=True)
class DeviceView(View):
    """A GPU of a live worker.

    Attributes:
        worker: the worker's name.
        id: the GPU's UUID.
        index: as the driver counts.
        memory: bytes in all; None if not known.
        free: bytes that were free when it was last measured.
        jobs: ids of the jobs that run on it, of whichever worker.
        most_jobs: how many this worker lets run on it.
        foreign: bytes that processes outside the queue use, by difference.
        utilisation: percent of the last moment in which it computed; None if not known.
    """

    worker: str
    id: str
    name: str
    index: int | None
    memory: int | None
    free: int | None
    jobs: tuple[int, ...]
    most_jobs: int
    foreign: int
    utilisation: int | None


@dataclass(frozen=True, kw_only=True)
class ReservationView(View):
    """A worker or GPU that is kept for somebody over a period.

    Attributes:
        target: name of a worker, or UUID of a GPU.
        owner: whose jobs may start there; None if `label` says it.
        label: what jobs that may start there ask for.
        active: whether it holds now.
    """

    id: int
    target: str
    owner: str | None
    label: str | None
    starts_at: datetime
    ends_at: datetime
    created_by: str
    active: bool

    @property
    def whose(self) -> str:
        """For whom it is, in words."""
        return self.owner if self.owner is not None else f"label {self.label}"

    def __str__(self) -> str:
        begin, end = (at.astimezone() for at in (self.starts_at, self.ends_at))
        period = f"from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
        return f"reservation {self.id}: {self.target} for {self.whose} {period}"


@dataclass(frozen=True, kw_only=True)
class CorpusView(View):
    """A corpus added by name."""

    name: str
    characters: int
    songs: int
    source: str
    added_by: str
    added_at: datetime
    content_hash: str


@dataclass(frozen=True, kw_only=True)
class AddedCorpus(View):
    """What adding a corpus has done.

    Attributes:
        replaced: whether its name stood for another text before.
        kept_by: number of jobs that were submitted with that text, and keep it.
    """

    corpus: CorpusView
    replaced: bool
    kept_by: int
