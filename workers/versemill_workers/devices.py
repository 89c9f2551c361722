"""Which devices this machine trains on. The worker itself never touches CUDA."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from versemill.errors import ConfigError
from versemill.jobs.devices import ANY_CPU, GPU, Device

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Room for one training job.

    Attributes:
        device: `cpu` or `cuda`.
        gpu: index of the GPU as `nvidia-smi` counts; None on CPU.
        threads: CPU threads of one operation.
        machine: the kind of machine it is (`KernelPlan.machine`); None until a trainer has said.
    """

    device: str
    gpu: int | None
    threads: int
    machine: str | None = None

    def as_device(self) -> Device:
        """The slot as claims see it. Memory of GPUs is not measured: their slots are the limit."""
        if self.gpu is None:
            return replace(ANY_CPU, machine=self.machine)
        name = f"GPU {self.gpu}"
        return Device(id=name, kind=GPU, name=name, index=self.gpu, machine=self.machine)

    def environment(self) -> dict[str, str]:
        """Variables that show a trainer its device and no other."""
        return {"CUDA_VISIBLE_DEVICES": "" if self.gpu is None else str(self.gpu)}


def gpus() -> list[int]:
    """Indices of the GPUs the NVIDIA driver reports; empty without a driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        listing = subprocess.run(  # noqa: S603 - a fixed command, found on PATH
            [command, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [int(line) for line in listing.split() if line.isdigit()]


def slots(
    devices: str, count: int | None, *, find_gpus: Callable[[], list[int]] = gpus
) -> list[Slot]:
    """Shares this machine's devices and cores among slots; OMP_NUM_THREADS bounds the latter.

    Args:
        devices: `auto` (GPUs if there are any, else the CPU), `cpu`, or GPU indices like `0,2`.
        count: number of slots; by default one per GPU, or one on the CPU.
        find_gpus: inventory of GPUs.

    Raises:
        ConfigError: no such device, or a count below 1.
    """
    if count is not None and count < 1:
        raise ConfigError("--slots", count, "a whole number, at least 1")
    chosen = _chosen(devices, find_gpus)
    total = count or len(chosen)
    threads = max(1, min(available_cores() // total, _thread_limit()))
    places = [chosen[i % len(chosen)] for i in range(total)]
    return [
        Slot(device="cpu" if gpu is None else "cuda", gpu=gpu, threads=threads) for gpu in places
    ]


def available_cores() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _thread_limit() -> int:
    """What OMP_NUM_THREADS allows, as everything else that computes on this machine does."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(outermost) if outermost.isascii() and outermost.isdigit() else available_cores()


def _chosen(devices: str, find_gpus: Callable[[], list[int]]) -> list[int | None]:
    if devices == "cpu":
        return [None]
    found = find_gpus()
    if devices == "auto":
        return [*found] or [None]
    wanted = devices.split(",")
    if not all(index.isdigit() and int(index) in found for index in wanted):
        listed = ", ".join(map(str, found)) or "none"
        raise ConfigError("--devices", devices, f"auto, cpu, or GPU indices; GPUs here: {listed}")
    return [int(index) for index in wanted]
