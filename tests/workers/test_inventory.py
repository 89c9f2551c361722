"""GPUs as a worker measures them: they change, vanish, fail and hang."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from versemill.jobs.devices import Device
from versemill_workers.inventory import GpuInventory
from versemill_workers.nvidia import DriverError

GB = 10**9
FIRST = Device(id="GPU-1", kind="gpu", name="H100", index=0, memory=80 * GB, free=79 * GB)
SECOND = replace(FIRST, id="GPU-2", index=1)


class Driver:
    """A driver whose answers a test decides."""

    def __init__(self) -> None:
        self.answer: list[Device] | Exception = [FIRST, SECOND]
        self.let_go = threading.Event()
        self.let_go.set()
        self.readings = 0

    def read(self) -> list[Device]:
        self.readings += 1
        self.let_go.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="versemill.worker")


def test_memory_is_measured_anew_each_time(driver: Driver) -> None:
    inventory = GpuInventory(driver.read, max_jobs=4)
    assert [device.free for device in inventory.measure()] == [79 * GB, 79 * GB]
    driver.answer = [replace(FIRST, free=5 * GB), SECOND]
    assert [device.free for device in inventory.measure()] == [5 * GB, 79 * GB]
    assert {device.max_jobs for device in inventory.measure()} == {4}


def test_a_device_that_vanishes_is_left_out_and_may_come_back(driver: Driver) -> None:
    inventory = GpuInventory(driver.read)
    driver.answer = [SECOND]
    assert [device.id for device in inventory.measure()] == ["GPU-2"]
    driver.answer = [FIRST, SECOND]
    assert [device.id for device in inventory.measure()] == ["GPU-1", "GPU-2"]


@pytest.mark.parametrize("error", [DriverError("NVML: Unknown Error"), ValueError("broken")])
def test_a_driver_that_fails_is_told_once_and_no_gpu_is_offered(
    driver: Driver, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    inventory = GpuInventory(driver.read)
    driver.answer = error
    assert [inventory.measure() for _ in range(3)] == [(), (), ()]
    (told,) = warnings(caplog)
    assert told.startswith("cannot measure the GPUs: ")
    assert str(error) in told
    assert told.endswith("; no job is started on one")
    driver.answer = [FIRST]
    assert [device.id for device in inventory.measure()] == ["GPU-1"]
    assert warnings(caplog)[1:] == ["the GPUs can be measured again"]


def test_a_driver_that_hangs_keeps_nobody_waiting_twice(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    inventory = GpuInventory(driver.read, seconds=0.05)
    driver.let_go.clear()
    assert [inventory.measure() for _ in range(3)] == [(), (), ()]
    assert driver.readings == 1  # no thread more hangs in it
    assert warnings(caplog) == [
        "cannot measure the GPUs: the driver did not answer within 0.05 s; no job is started on one"
    ]
    driver.let_go.set()
    assert inventory._thread is not None
    inventory._thread.join()
    patient = GpuInventory(driver.read)
    assert len(patient.measure()) == 2
