"""The progress events of a proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from versemill.jobs.notices import WorkerRestarted
    from versemill.jobs.views import JobView


@dataclass(frozen=True, kw_only=True)
class Training:
    """The job is being trained; sent ten times a second."""

    run: Literal["undisturbed", "to be killed"]
    job: JobView


@dataclass(frozen=True, kw_only=True)
class UndisturbedDone:
    """The first run has ended."""

    seconds: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class KillsBegin:
    """The second run starts, with checkpoints so often."""

    checkpoint_seconds: int


@dataclass(frozen=True, kw_only=True)
class Killed:
    """A process was killed: kill `number` of `total`, after `step`."""

    number: int
    total: int
    step: int
    process: Literal["trainer", "worker"]


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """The job goes on from `step`, and repeats so many steps."""

    step: int
    repeated: int


@dataclass(frozen=True, kw_only=True)
class Restarted:
    """A worker was started in place of one that died."""

    worker: WorkerRestarted


@dataclass(frozen=True, kw_only=True)
class FewerKills:
    """The job was over before all kills were made."""

    survived: int


@dataclass(frozen=True, kw_only=True)
class Proved:
    """Nothing differs: the last event.

    Attributes:
        survived: number of kills.
        tensors: number of tensors compared, in all checkpoints together.
        checkpoints: what they are kept as.
        reports: number of reports compared.
        lyrics: number of texts compared.
    """

    survived: int
    tensors: int
    checkpoints: tuple[str, ...]
    reports: int
    lyrics: int


Progress = (
    Training | UndisturbedDone | KillsBegin | Killed | Resumed | Restarted | FewerKills | Proved
)
