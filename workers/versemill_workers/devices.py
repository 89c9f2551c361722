"""Which devices a worker uses, how many jobs it runs at a time, and what a trainer sees of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from versemill.errors import ConfigError
from versemill.jobs.devices import CPU
from versemill_workers import nvidia
from versemill_workers.inventory import CpuInventory, GpuInventory

if TYPE_CHECKING:
    from collections.abc import Callable

    from versemill.jobs.devices import Device
    from versemill_workers.inventory import Inventory

JOBS_PER_GPU = 4
"""Most jobs at once on a GPU, unless `--slots` asks for more."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a worker's jobs run.

    Attributes:
        inventory: measures the devices.
        slots: most jobs at a time, over all devices.
        threads: CPU threads of one operation of a job.
    """

    inventory: Inventory
    slots: int
    threads: int


def places(
    devices: str,
    slots: int | None,
    *,
    avoid_foreign: bool = False,
    read: Callable[[], list[Device]] | None = None,
) -> Places:
    """Finds the devices, and shares this machine's cores among the jobs on them.

    A job is bound to no device before it is claimed. OMP_NUM_THREADS bounds its threads.

    Args:
        devices: `auto` (GPUs if there are any, else the CPU), `cpu`, or GPU indices like `0,2`.
        slots: most jobs at a time; by default `JOBS_PER_GPU` for each GPU, or one on the CPU.
        avoid_foreign: leave a GPU alone while processes outside the queue use it.
        read: reads the GPUs from their driver; by default `nvidia.reader()`.

    Raises:
        ConfigError: no such device, or fewer slots than 1.
    """
    if slots is not None and slots < 1:
        raise ConfigError("--slots", slots, "a whole number, at least 1")
    read = read or nvidia.reader()
    gpus = [] if devices == CPU else _gpus(devices, read)
    total = slots or JOBS_PER_GPU * len(gpus) or 1
    threads = max(1, min(available_cores() // total, _thread_limit()))
    inventory: Inventory = CpuInventory()
    if gpus:
        inventory = GpuInventory(
            read,
            ids=None if devices == "auto" else [gpu.id for gpu in gpus],
            max_jobs=max(JOBS_PER_GPU, -(-total // len(gpus))),
            avoid_foreign=avoid_foreign,
        )
    return Places(inventory=inventory, slots=total, threads=threads)


def torch_device(device: Device) -> str:
    """`cpu` or `cuda`, as PyTorch names the device that a trainer sees."""
    return "cpu" if device.kind == CPU else "cuda"


def environment(device: Device) -> dict[str, str]:
    """Variables that show a trainer its device and no other GPU."""
    return {"CUDA_VISIBLE_DEVICES": "" if device.kind == CPU else device.id}


def available_cores() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _thread_limit() -> int:
    """What OMP_NUM_THREADS allows, as everything else that computes on this machine does."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(outermost) if outermost.isascii() and outermost.isdigit() else available_cores()


def _gpus(devices: str, read: Callable[[], list[Device]]) -> list[Device]:
    """The GPUs that are meant; none for `auto` on a machine without."""
    found = GpuInventory(read).measure()
    if devices == "auto":
        return list(found)
    chosen = [gpu for gpu in found if str(gpu.index) in devices.split(",")]
    if len(chosen) != len(devices.split(",")):
        listed = ", ".join(str(gpu.index) for gpu in found) or "none"
        raise ConfigError("--devices", devices, f"auto, cpu, or GPU indices; GPUs here: {listed}")
    return chosen
