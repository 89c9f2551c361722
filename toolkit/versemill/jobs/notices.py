"""What a use case has to tell beside its result: data that an interface words.

`str()` of a notice says what is so, in one line, and names no command. An interface adds what
can be done about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from versemill.jobs.devices import FOREIGN_BYTES, in_gigabytes
from versemill.jobs.json_values import View
from versemill.phrases import counted, listed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from versemill.jobs.states import State
    from versemill.plugins.requirements import OfferedPlugin, Requirement
    from versemill.text.unknown_characters import UnknownCharacter

_FILES_SHOWN = 3
_JOBS_SHOWN = 5
_WORKERS_SHOWN = 3


class Notice(View):
    """Something to tell.

    Attributes:
        code: stable name of its kind.
    """

    code: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Its code, its attributes, and the message."""
        return {"code": self.code, **super().to_json(), "message": str(self)}


@dataclass(frozen=True, kw_only=True)
class BrokerAway(Notice):
    """Workers could not be notified of a job; they find it by themselves.

    Attributes:
        reason: why, without secrets.
    """

    code: ClassVar[str] = "broker-away"
    reason: str

    def __str__(self) -> str:
        return f"{self.reason}; the job is safe, workers find it within seconds"


@dataclass(frozen=True, kw_only=True)
class EncodingFound(Notice):
    """A text is not UTF-8 and was read all the same.

    Attributes:
        place: what was read.
        encoding: as people know it.
        guessed: whether it could also be another.
        files: the files of a folder for which it is a guess; none for a single file.
        beginning: of the text, for people to see whether it was read rightly.
    """

    code: ClassVar[str] = "encoding-found"
    place: str
    encoding: str
    guessed: bool
    files: tuple[str, ...]
    beginning: str

    def __str__(self) -> str:
        read = f"{self.place} is read as {self.encoding}"
        if not self.guessed:
            return read
        of = f" of {listed(self.files, _FILES_SHOWN)}" if self.files else ""
        return f"{read}, a guess{of}; it begins: {self.beginning}"


@dataclass(frozen=True, kw_only=True)
class FilesSkipped(Notice):
    """Files of a folder were not read.

    Attributes:
        files: their names, by why.
    """

    code: ClassVar[str] = "files-skipped"
    files: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        parts = (f"{why}: {listed(names, _FILES_SHOWN)}" for why, names in self.files.items())
        return f"skipped in the folder: {'; '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class CorpusOutside(Notice):
    """A job file has its corpus read from outside the file's own folder."""

    code: ClassVar[str] = "corpus-outside"
    file: str
    path: str

    def __str__(self) -> str:
        return f"job file {self.file} has its corpus read from {self.path}"


@dataclass(frozen=True, kw_only=True)
class UnknownCharacters(Notice):
    """Prefixes or stop texts of a job have characters that its training text does not have."""

    code: ClassVar[str] = "unknown-characters"
    characters: tuple[UnknownCharacter, ...]

    def __str__(self) -> str:
        from versemill.text.unknown_characters import described

        return (
            "characters of its prefixes or stop texts that the training text does not have: "
            f"{described(self.characters)}"
        )


@dataclass(frozen=True, kw_only=True)
class PluginPrinted(Notice):
    """A plugin printed something while it made a text."""

    code: ClassVar[str] = "plugin-printed"
    plugin: str
    output: str

    def __str__(self) -> str:
        return self.output


@dataclass(frozen=True, kw_only=True)
class WorkerRestarted(Notice):
    """The worker of one job died, and another was started.

    Attributes:
        how: how it ended, such as `killed by signal 9`.
    """

    code: ClassVar[str] = "worker-restarted"
    how: str

    def __str__(self) -> str:
        return f"the worker ended ({self.how}); started another one"


@dataclass(frozen=True, kw_only=True)
class UnknownTarget(Notice):
    """What is reserved is neither a live worker's name nor the UUID of a GPU."""

    code: ClassVar[str] = "unknown-target"
    target: str

    def __str__(self) -> str:
        return f"no live worker is called {self.target}, and none has a GPU with that UUID"


class WaitingReason(Notice):
    """Why a queued job waits."""


@dataclass(frozen=True, kw_only=True)
class NoWorker(WaitingReason):
    """No worker is alive."""

    code: ClassVar[str] = "no-worker"

    def __str__(self) -> str:
        return "no worker is running"


@dataclass(frozen=True, kw_only=True)
class OtherMachines(WaitingReason):
    """Live workers are all on machines that would compute in another way.

    Attributes:
        machine: the kind of machine that goes on with the job bit for bit.
    """

    code: ClassVar[str] = "other-machines"
    machine: str

    def __str__(self) -> str:
        return (
            f"it goes on bit for bit only on a machine like the first ({self.machine}), and no "
            "live worker is one"
        )


@dataclass(frozen=True, kw_only=True)
class PluginElsewhere(View):
    """A worker has a plugin in a version that will not do."""

    worker: str
    plugin: OfferedPlugin

    def __str__(self) -> str:
        plugin = self.plugin
        return (
            f"worker {self.worker} has {plugin.kind} {plugin.name!r} from "
            f"{plugin.distribution} {plugin.version}"
        )


@dataclass(frozen=True, kw_only=True)
class PluginsMissing(WaitingReason):
    """No live worker has the plugins that the job needs.

    Attributes:
        requirements: what the best equipped worker lacks.
        others: who has it in a version that will not do; a few of many.
    """

    code: ClassVar[str] = "plugins-missing"
    requirements: tuple[Requirement, ...]
    others: tuple[PluginElsewhere, ...] = ()

    def __str__(self) -> str:
        them = "it" if len(self.requirements) == 1 else "them all"
        needed = f"needs {', '.join(map(str, self.requirements))}; no live worker has {them}"
        return "; ".join([needed, *map(str, self.others)])


@dataclass(frozen=True, kw_only=True)
class AwaitedJob(View):
    """A job that another one waits for.

    Attributes:
        condition: `succeeded` or `any`: how it has to end.
    """

    id: int
    name: str
    state: State
    condition: str

    @property
    def hopeless(self) -> bool:
        """Whether it has ended otherwise than it should: somebody has to do something."""
        return self.state.ended and self.condition != "any"

    def __str__(self) -> str:
        ways = {"failed": "which failed", "cancelled": "which was cancelled"}
        return f"job {self.id} ({self.name}), {ways.get(self.state, f'which is {self.state}')}"


@dataclass(frozen=True, kw_only=True)
class WaitsForJobs(WaitingReason):
    """It is to begin after others.

    Attributes:
        jobs: those that have not ended as they should, the hopeless ones first; none if it is
            held for a reason that is not known.
    """

    code: ClassVar[str] = "waits-for-jobs"
    jobs: tuple[AwaitedJob, ...]

    @property
    def hopeless(self) -> tuple[AwaitedJob, ...]:
        """Those that it would wait for in vain."""
        return tuple(job for job in self.jobs if job.hopeless)

    def __str__(self) -> str:
        if not self.jobs:
            return "it is held"
        named = (self.hopeless or self.jobs)[:_JOBS_SHOWN]
        others = len(self.jobs) - len(named)
        more = f", and for {others:,} more" if others else ""
        return f"waits for {', and for '.join(map(str, named))}{more}"


@dataclass(frozen=True, kw_only=True)
class RetryDelayed(WaitingReason):
    """It failed, and is tried again after a while.

    Attributes:
        seconds: until then.
    """

    code: ClassVar[str] = "retry-delayed"
    seconds: float

    def __str__(self) -> str:
        return f"it is tried again in {self.seconds:.0f} s"


@dataclass(frozen=True, kw_only=True)
class WorkersBusy(WaitingReason):
    """Every worker that could take it is busy.

    Attributes:
        slots: how many jobs they work on together.
    """

    code: ClassVar[str] = "workers-busy"
    slots: int

    def __str__(self) -> str:
        return f"every worker is busy ({counted(self.slots, 'slot')}): the job waits its turn"


@dataclass(frozen=True, kw_only=True)
class BehindOthers(WaitingReason):
    """Other jobs start before it.

    Attributes:
        jobs: how many.
        owners: of how many owners, its own among them if some are.
    """

    code: ClassVar[str] = "behind-others"
    jobs: int
    owners: int

    def __str__(self) -> str:
        return f"behind {counted(self.jobs, 'job')} of {counted(self.owners, 'owner')}"


@dataclass(frozen=True, kw_only=True)
class RunningLimit(WaitingReason):
    """Its owner has as many jobs running as they may have.

    Attributes:
        limit: how many that is.
    """

    code: ClassVar[str] = "running-limit"
    owner: str
    limit: int

    def __str__(self) -> str:
        if not self.limit:
            return f"{self.owner} may have no job running (running limit of 0)"
        return f"the running limit of {self.limit} of {self.owner} is reached"


@dataclass(frozen=True, kw_only=True)
class GpuLimit(WaitingReason):
    """With it its owner would hold more of the GPUs than they may.

    Attributes:
        limit: how many GPUs they may hold at once.
        held: how many their jobs hold now.
        needed: the share of a GPU that it would hold.
    """

    code: ClassVar[str] = "gpu-limit"
    owner: str
    limit: int
    held: float
    needed: float

    def __str__(self) -> str:
        return (
            f"the GPU limit of {self.limit} of {self.owner} is reached: {self.held:.3g} held, "
            f"{self.needed:.3g} more needed"
        )


@dataclass(frozen=True, kw_only=True)
class OwnerDisabled(WaitingReason):
    """Its owner is disabled."""

    code: ClassVar[str] = "owner-disabled"
    owner: str

    def __str__(self) -> str:
        return f"its owner {self.owner} is disabled: their jobs are held"


@dataclass(frozen=True, kw_only=True)
class HeldUntil(WaitingReason):
    """Its owner wants it to begin later."""

    code: ClassVar[str] = "held-until"
    at: datetime

    def __str__(self) -> str:
        local = self.at.astimezone()
        return f"held until {local:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, kw_only=True)
class WorkersTaken(WaitingReason):
    """All live workers are ending, or are there for one other job."""

    code: ClassVar[str] = "workers-taken"
    workers: tuple[str, ...]

    def __str__(self) -> str:
        names = listed(self.workers, _WORKERS_SHOWN)
        return f"every live worker is ending, or works for one other job ({names})"


@dataclass(frozen=True, kw_only=True)
class UnfitDevice(View):
    """A device that never suits a job.

    Attributes:
        why: in words.
    """

    worker: str
    device: str
    why: str

    def __str__(self) -> str:
        return f"{self.device} of worker {self.worker}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class NoDevice(WaitingReason):
    """No device of a live worker suits it.

    Attributes:
        devices: why each does not; a few of many.
    """

    code: ClassVar[str] = "no-device"
    devices: tuple[UnfitDevice, ...]

    def __str__(self) -> str:
        if not self.devices:
            return "no worker can run this: their GPUs cannot be measured now"
        return f"no worker can run this: {'; '.join(map(str, self.devices))}"


@dataclass(frozen=True, kw_only=True)
class NoMemory(WaitingReason):
    """No GPU that suits it has enough memory free. Sizes are bytes.

    Attributes:
        needed: what it is estimated to take.
        free: the most that is free on one, and not promised to a job that runs there.
        foreign: what processes outside the queue use there.
    """

    code: ClassVar[str] = "no-memory"
    needed: int
    free: int
    device: str
    worker: str
    foreign: int

    def __str__(self) -> str:
        others = ""
        if self.foreign >= FOREIGN_BYTES:
            others = f" ({in_gigabytes(self.foreign)} used by processes outside the queue)"
        return (
            f"needs {in_gigabytes(self.needed)}, the largest free is {in_gigabytes(self.free)} on "
            f"{self.device} of worker {self.worker}{others}"
        )


@dataclass(frozen=True, kw_only=True)
class DevicesFull(WaitingReason):
    """Every GPU that suits it has as many jobs as it takes.

    Attributes:
        alone: whether the job needs a GPU for itself.
    """

    code: ClassVar[str] = "devices-full"
    alone: bool

    def __str__(self) -> str:
        if self.alone:
            return "needs a GPU for itself, and other jobs run on each that suits it"
        return "every GPU that suits it has as many jobs as it takes"


@dataclass(frozen=True, kw_only=True)
class DevicesKept(WaitingReason):
    """The GPUs with room for it are being kept free for other jobs, whose turn came before.

    Attributes:
        jobs: their ids.
    """

    code: ClassVar[str] = "devices-kept"
    jobs: tuple[int, ...]

    def __str__(self) -> str:
        noun = "job" if len(self.jobs) == 1 else "jobs"
        kept = listed([str(job) for job in self.jobs], _JOBS_SHOWN)
        return f"the GPUs that suit it are kept free for {noun} {kept}"


@dataclass(frozen=True, kw_only=True)
class ForeignUse(WaitingReason):
    """Processes outside the queue use the GPUs with room for it, which are left alone meanwhile.

    Attributes:
        foreign: bytes that they use of the device.
    """

    code: ClassVar[str] = "foreign-use"
    device: str
    worker: str
    foreign: int

    def __str__(self) -> str:
        return (
            f"{self.device} of worker {self.worker} is left alone while processes outside the "
            f"queue use it ({in_gigabytes(self.foreign)})"
        )


@dataclass(frozen=True, kw_only=True)
class ReservedForOthers(WaitingReason):
    """Every place that suits it is reserved for others now.

    Attributes:
        target: the place that is free again first: a worker, or a GPU.
        whose: for whom, in words.
        until: the end of the period.
    """

    code: ClassVar[str] = "reserved-for-others"
    target: str
    whose: str
    until: datetime

    def __str__(self) -> str:
        until = self.until.astimezone()
        return f"{self.target} is reserved for {self.whose} until {until:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, kw_only=True)
class PlaceKept(WaitingReason):
    """A worker keeps a place for it, which another job is giving up."""

    code: ClassVar[str] = "place-kept"
    worker: str

    def __str__(self) -> str:
        return f"a place is kept for it on worker {self.worker}, once another job has given it up"
