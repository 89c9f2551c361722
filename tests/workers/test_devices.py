from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from versemill.jobs.devices import ANY_CPU, Device
from versemill.plugins import ConfigError
from versemill_workers import devices
from versemill_workers.devices import available_cores, environment, places, torch_device

if TYPE_CHECKING:
    from collections.abc import Callable

GB = 10**9


def gpu(index: int) -> Device:
    return Device(
        id=f"GPU-{index}", kind="gpu", name="H200", index=index, memory=140 * GB, free=139 * GB
    )


def no_gpus() -> list[Device]:
    return []


def two_gpus() -> list[Device]:
    return [gpu(0), gpu(1)]


def seen(devices: str, slots: int | None, read: Callable[[], list[Device]]) -> list[int | None]:
    return [found.index for found in places(devices, slots, read=read).inventory.measure()]


def test_without_gpus_auto_is_one_slot_on_the_cpu_with_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    found = places("auto", None, read=no_gpus)
    assert (found.slots, found.threads) == (1, available_cores())
    assert found.inventory.measure() == (ANY_CPU,)


def test_cpu_slots_share_the_cores() -> None:
    shared = places("cpu", available_cores() * 2, read=two_gpus)
    assert shared.inventory.measure() == (ANY_CPU,)
    assert (shared.slots, shared.threads) == (available_cores() * 2, 1)


@pytest.mark.parametrize(
    ("allowed", "threads"),
    [("1", 1), ("3", 3), ("3,2", 3), ("9", 8), ("0", 1), ("", 8), ("many", 8)],
)
def test_a_job_has_no_more_threads_than_openmp_may(
    monkeypatch: pytest.MonkeyPatch, allowed: str, threads: int
) -> None:
    monkeypatch.setattr(devices, "available_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    assert places("cpu", 1).threads == threads


def test_a_trainer_on_the_cpu_sees_no_gpu() -> None:
    assert torch_device(ANY_CPU) == "cpu"
    assert environment(ANY_CPU) == {"CUDA_VISIBLE_DEVICES": ""}


def test_a_trainer_on_a_gpu_sees_it_alone() -> None:
    assert torch_device(gpu(1)) == "cuda"
    assert environment(gpu(1)) == {"CUDA_VISIBLE_DEVICES": "GPU-1"}


def test_auto_uses_all_gpus_with_four_jobs_on_each() -> None:
    found = places("auto", None, read=two_gpus)
    assert found.slots == 8
    assert [device.max_jobs for device in found.inventory.measure()] == [4, 4]


@pytest.mark.parametrize(("slots", "on_each"), [(1, 4), (8, 4), (9, 5)])
def test_slots_bound_all_jobs_and_may_ask_for_more_on_each(slots: int, on_each: int) -> None:
    found = places("auto", slots, read=two_gpus)
    assert found.slots == slots
    assert {device.max_jobs for device in found.inventory.measure()} == {on_each}


def test_chosen_gpus_only() -> None:
    assert seen("1", None, two_gpus) == [1]


def test_a_chosen_gpu_stays_the_same_when_the_driver_counts_anew() -> None:
    now = two_gpus()
    inventory = places("1", None, read=lambda: now).inventory
    now[:] = [Device(id="GPU-1", kind="gpu", name="H200", index=0)]
    assert [device.id for device in inventory.measure()] == ["GPU-1"]


@pytest.mark.parametrize("devices", ["2", "0,7", "gpu", "", "-1", "0,0"])
def test_devices_that_are_not_there_are_refused(devices: str) -> None:
    with pytest.raises(ConfigError, match="GPUs here: 0, 1"):
        places(devices, None, read=two_gpus)


@pytest.mark.parametrize("count", [0, -1])
def test_a_worker_needs_a_slot(count: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        places("cpu", count, read=no_gpus)
