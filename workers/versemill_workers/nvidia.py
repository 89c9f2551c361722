"""Reads from the NVIDIA driver which GPUs there are, and how much of their memory is free.

Through NVML where the package `nvidia-ml-py` is installed (the extra `gpu`), else through the
command `nvidia-smi`, which takes longer.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from versemill.jobs.devices import GPU, Device

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[[], list[Device]]

_FIELDS = ("index", "uuid", "name", "memory.total", "memory.used", "memory.free", "utilization.gpu")
_MIB = 2**20
_NO_DRIVER = {"NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded"}


class DriverError(RuntimeError):
    """The NVIDIA driver is there and does not answer as it should."""


def reader() -> Reader:
    """The best way to read the GPUs that this machine has."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return read_by_command
    return lambda: read_by_nvml(nvml)


def read_by_nvml(nvml: Any) -> list[Device]:
    """All GPUs that answer; none without a driver.

    Args:
        nvml: the module `pynvml`.

    Raises:
        DriverError: NVML fails, or there are GPUs and none of them answers.
    """
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        if type(error).__name__ in _NO_DRIVER:
            return []
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()  # the next reading begins anew
        raise DriverError(f"NVML: {error}") from error
    found, failed = [], None
    for index in range(count):
        try:
            found.append(_device(nvml, index))
        except nvml.NVMLError as error:  # it has fallen off the bus, or may not be used
            failed = error
    if failed is not None and not found:
        raise DriverError(f"NVML: {failed}") from failed
    return found


def _device(nvml: Any, index: int) -> Device:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = _memory(nvml, handle)
    utilisation = None
    with contextlib.suppress(nvml.NVMLError):  # some GPUs do not count it
        utilisation = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    return Device(
        id=_text(nvml.nvmlDeviceGetUUID(handle)),
        kind=GPU,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        index=index,
        memory=int(memory.used) + int(memory.free),  # without what the driver keeps for itself
        free=int(memory.free),
        utilisation=utilisation,
    )


def _memory(nvml: Any, handle: Any) -> Any:
    """Newer drivers count what they keep for themselves apart from what processes use."""
    version = getattr(nvml, "nvmlMemory_v2", None)
    if version is not None:
        with contextlib.suppress(nvml.NVMLError, TypeError):
            return nvml.nvmlDeviceGetMemoryInfo(handle, version=version)
    return nvml.nvmlDeviceGetMemoryInfo(handle)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def read_by_command() -> list[Device]:
    """All GPUs that `nvidia-smi` lists; none where there is no such command.

    Raises:
        DriverError: it fails.
    """
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        listing = subprocess.run(  # noqa: S603 - a fixed command, found on PATH
            [command, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise DriverError(f"nvidia-smi: {error}") from error
    return [_listed(line) for line in listing.splitlines() if line.count(",") == len(_FIELDS) - 1]


def _listed(line: str) -> Device:
    index, uuid, name, *numbers = (field.strip() for field in line.split(","))
    _, used, free, utilisation = (int(n) if n.isdigit() else None for n in numbers)
    known = used is not None and free is not None
    return Device(
        id=uuid,
        kind=GPU,
        name=name,
        index=int(index),
        memory=(used + free) * _MIB if used is not None and free is not None else None,
        free=free * _MIB if known and free is not None else None,
        utilisation=utilisation,
    )
