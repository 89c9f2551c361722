"""What a job needs of a device, what a device is, and whether one has room for the other.

Pure: workers measure devices and send them here as data, tests make them up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CPU, GPU = "cpu", "gpu"

FOREIGN_BYTES = 256 * 2**20
"""From how much memory of others on, a GPU counts as used by them: a process that computes on it
takes at least that much, and what our own jobs say of themselves is not exact."""


@dataclass(frozen=True, kw_only=True)
class DeviceNeeds:
    """What a job needs of the device that it runs on; nothing by default.

    Attributes:
        kind: `cpu` or `gpu`; None if either will do.
        memory: bytes of a GPU's memory that it takes, estimated; 0 if not known.
        min_memory: bytes of memory that a GPU must have in all.
        name: part of the device's name, in any case of letters; None for any.
        labels: labels that the worker must have.
        exclusive: whether it needs a GPU for itself.
    """

    kind: str | None = None
    memory: int = 0
    min_memory: int = 0
    name: str | None = None
    labels: tuple[str, ...] = ()
    exclusive: bool = False

    def to_json(self) -> dict[str, Any] | None:
        """JSON values; None for no needs."""
        changed = {key: value for key, value in asdict(self).items() if value}
        if "labels" in changed:
            changed["labels"] = sorted(changed["labels"])
        return changed or None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> DeviceNeeds:
        """Inverse of `to_json`."""
        values = dict(stored or {})
        return cls(**{**values, "labels": tuple(values.get("labels", ()))})


ANY_DEVICE = DeviceNeeds()


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device as its worker has just measured it.

    Attributes:
        id: the UUID of a GPU, the same for all workers on it; `cpu` for a CPU.
        kind: `cpu` or `gpu`.
        name: as its driver names it.
        index: of a GPU, as the driver counts; None for a CPU.
        memory: bytes in all; None where memory is not managed, as on a CPU.
        free: bytes really free now, whoever holds the rest.
        max_jobs: most jobs at once on a GPU.
        machine: the kind of machine (`KernelPlan.machine`); None if not known yet.
        utilisation: percent of the last moment in which it computed; None if not known.
        avoid_foreign: whether it is left alone while processes outside the queue use it.
    """

    id: str
    kind: str
    name: str
    index: int | None = None
    memory: int | None = None
    free: int | None = None
    max_jobs: int = 1
    machine: str | None = None
    utilisation: int | None = None
    avoid_foreign: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Device:
        """Inverse of `to_json`."""
        return cls(**stored)


ANY_CPU = Device(id=CPU, kind=CPU, name="CPU")


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A job that runs on a device.

    Attributes:
        share: of the device that it holds; 1 if it has it for itself.
        memory: bytes that it was admitted with.
        used: bytes that it has really taken so far.
    """

    job_id: int
    share: float
    memory: int
    used: int


def unfit(needs: DeviceNeeds, device: Device, labels: Iterable[str]) -> str | None:
    """Why a device never suits a job, in words; None if it does."""
    missing = sorted(set(needs.labels) - set(labels))
    if missing:
        return f"its worker lacks the label {missing[0]!r}"
    if needs.kind is not None and needs.kind != device.kind:
        return f"it is a {device.kind.upper()}"
    if needs.name is not None and needs.name.casefold() not in device.name.casefold():
        return f"it is a {device.name}"
    if device.kind == CPU:
        gpu_only = needs.min_memory or needs.exclusive
        return "it is a CPU" if gpu_only else None
    if device.memory is not None and device.memory < max(needs.min_memory, needs.memory):
        return f"it has {in_gigabytes(device.memory)} of memory"
    return None


def share_of(needs: DeviceNeeds, device: Device) -> float:
    """The share of the device that a job holds: by memory, and at least its part of the places.

    A place on a CPU counts as a whole device.
    """
    if device.kind == CPU or needs.exclusive or not device.memory:
        return 1.0
    return min(1.0, max(needs.memory / device.memory, 1.0 / device.max_jobs))


def free_for_more(device: Device, admitted: Iterable[Admitted]) -> int:
    """Bytes that are free now and that no admitted job has yet to take."""
    promised = sum(max(0, job.memory - job.used) for job in admitted)
    return max(0, (device.free or 0) - promised)


def foreign_use(device: Device, admitted: Iterable[Admitted]) -> int:
    """Bytes that processes outside the queue use, by difference: containers hide the processes.

    A job that has not said yet what it has taken counts as what it was admitted with.
    """
    if device.memory is None or device.free is None:
        return 0
    ours = sum(job.used or job.memory for job in admitted)
    return max(0, device.memory - device.free - ours)


def has_room(needs: DeviceNeeds, device: Device, admitted: tuple[Admitted, ...]) -> bool:
    """Whether a job can start on a device beside those that run there."""
    if device.kind == CPU:
        return True  # the worker's slots are the limit
    alone = any(job.share >= 1.0 for job in admitted)
    if alone or len(admitted) >= device.max_jobs or (needs.exclusive and admitted):
        return False
    if device.avoid_foreign and foreign_use(device, admitted) >= FOREIGN_BYTES:
        return False
    return device.memory is None or needs.memory <= free_for_more(device, admitted)


def in_gigabytes(size: int) -> str:
    """`9.5 GB`, of 10⁹ bytes."""
    return f"{size / 1e9:.1f} GB".replace(".0 ", " ")
