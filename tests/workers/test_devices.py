from __future__ import annotations

import pytest

from versemill.plugins import ConfigError
from versemill_workers import devices
from versemill_workers.devices import available_cores, slots


def no_gpus() -> list[int]:
    return []


def two_gpus() -> list[int]:
    return [0, 1]


def test_without_gpus_auto_is_one_slot_on_the_cpu_with_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    (slot,) = slots("auto", None, find_gpus=no_gpus)
    assert (slot.device, slot.gpu, slot.threads) == ("cpu", None, available_cores())


def test_cpu_slots_share_the_cores() -> None:
    shared = slots("cpu", available_cores() * 2, find_gpus=two_gpus)
    assert {slot.device for slot in shared} == {"cpu"}
    assert {slot.threads for slot in shared} == {1}


@pytest.mark.parametrize(
    ("allowed", "threads"),
    [("1", 1), ("3", 3), ("3,2", 3), ("9", 8), ("0", 1), ("", 8), ("many", 8)],
)
def test_a_slot_has_no_more_threads_than_openmp_may(
    monkeypatch: pytest.MonkeyPatch, allowed: str, threads: int
) -> None:
    monkeypatch.setattr(devices, "available_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    (slot,) = slots("cpu", 1)
    assert slot.threads == threads


def test_a_cpu_slot_sees_no_gpu() -> None:
    (slot,) = slots("cpu", 1, find_gpus=two_gpus)
    assert slot.environment() == {"CUDA_VISIBLE_DEVICES": ""}


def test_auto_gives_each_gpu_a_slot_that_sees_it_alone() -> None:
    found = slots("auto", None, find_gpus=two_gpus)
    assert [slot.device for slot in found] == ["cuda", "cuda"]
    assert [slot.environment()["CUDA_VISIBLE_DEVICES"] for slot in found] == ["0", "1"]


def test_more_slots_than_gpus_go_round() -> None:
    assert [slot.gpu for slot in slots("auto", 3, find_gpus=two_gpus)] == [0, 1, 0]


def test_chosen_gpus_only() -> None:
    assert [slot.gpu for slot in slots("1", None, find_gpus=two_gpus)] == [1]


@pytest.mark.parametrize("devices", ["2", "0,7", "gpu", "", "-1"])
def test_devices_that_are_not_there_are_refused(devices: str) -> None:
    with pytest.raises(ConfigError, match="GPUs here: 0, 1"):
        slots(devices, None, find_gpus=two_gpus)


@pytest.mark.parametrize("count", [0, -1])
def test_a_worker_needs_a_slot(count: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        slots("cpu", count, find_gpus=no_gpus)
