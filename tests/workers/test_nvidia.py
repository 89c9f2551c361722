"""GPUs read through a made-up `pynvml`, and through a made-up `nvidia-smi`."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from versemill_workers import nvidia
from versemill_workers.nvidia import DriverError

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


class NVMLError(Exception):
    pass


class NVMLError_LibraryNotFound(NVMLError):  # noqa: N801, N818 - as NVML names it
    pass


class NVMLError_GpuIsLost(NVMLError):  # noqa: N801, N818
    pass


def pynvml(*, newer: bool = True, **replaced: Any) -> Any:
    """The functions of `pynvml` that are used, for a machine with two GPUs."""

    def memory(handle: int, version: int | None = None) -> Any:
        if version is None:
            return SimpleNamespace(total=1000, used=300, free=700)
        return SimpleNamespace(total=1000, reserved=100, used=200, free=700)

    def text(value: str) -> str | bytes:
        return value if newer else value.encode()

    functions: dict[str, Any] = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUUID": lambda handle: text(f"GPU-{handle}"),
        "nvmlDeviceGetName": lambda handle: text("NVIDIA H200"),
        "nvmlDeviceGetMemoryInfo": memory,
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=37),
    }
    if newer:
        functions["nvmlMemory_v2"] = 2
    module = ModuleType("pynvml")
    vars(module).update(functions | replaced)
    return module


def failing(error: Exception) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(("newer", "memory"), [(True, 900), (False, 1000)])
def test_nvml_says_what_there_is_and_what_is_free(newer: bool, memory: int) -> None:
    first, second = nvidia.read_by_nvml(pynvml(newer=newer))
    assert (first.id, first.kind, first.name, first.index) == ("GPU-0", "gpu", "NVIDIA H200", 0)
    assert (first.memory, first.free, first.utilisation) == (memory, 700, 37)
    assert (second.id, second.index) == ("GPU-1", 1)


def test_a_gpu_that_is_lost_is_left_out() -> None:
    def handle(index: int) -> int:
        if index == 0:
            raise NVMLError_GpuIsLost("GPU is lost")
        return index

    (left,) = nvidia.read_by_nvml(pynvml(nvmlDeviceGetHandleByIndex=handle))
    assert left.id == "GPU-1"


def test_a_gpu_without_utilisation_is_taken_all_the_same() -> None:
    module = pynvml(nvmlDeviceGetUtilizationRates=failing(NVMLError("Not Supported")))
    assert [device.utilisation for device in nvidia.read_by_nvml(module)] == [None, None]


def test_without_a_driver_there_are_no_gpus() -> None:
    missing = NVMLError_LibraryNotFound("NVML Shared Library Not Found")
    assert nvidia.read_by_nvml(pynvml(nvmlInit=failing(missing))) == []


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetUUID"])
def test_a_driver_that_fails_is_an_error(function: str) -> None:
    module = pynvml(**{function: failing(NVMLError("Unknown Error"))})
    with pytest.raises(DriverError, match="NVML: Unknown Error"):
        nvidia.read_by_nvml(module)


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setitem(sys.modules, "pynvml", None)


def test_nvidia_smi_is_asked_where_there_is_no_nvml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "0, GPU-a, NVIDIA H100, 1000, 200, 700, 12", "1, GPU-b, Old, [N/A], [N/A], [N/A], [N/A]"
    smi(tmp_path, monkeypatch, "\n".join(f"echo '{line}'" for line in lines))
    first, second = nvidia.reader()()
    assert (first.id, first.name, first.index) == ("GPU-a", "NVIDIA H100", 0)
    assert (first.memory, first.free, first.utilisation) == (900 * MIB, 700 * MIB, 12)
    assert (second.id, second.memory, second.free, second.utilisation) == (
        "GPU-b",
        None,
        None,
        None,
    )


def test_nvidia_smi_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi(tmp_path, monkeypatch, "exit 9")
    with pytest.raises(DriverError, match="nvidia-smi"):
        nvidia.reader()()


def test_without_nvidia_smi_there_are_no_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia.reader()() == []


def test_nvml_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", pynvml())
    assert [device.id for device in nvidia.reader()()] == ["GPU-0", "GPU-1"]
