"""A worker's slots are bound to no device: each claim is given all that were just measured."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gpus import GB, GPU, submit
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.settings import Settings
from versemill_workers import offered_plugins, slots
from versemill_workers.devices import Places
from versemill_workers.slots import SlotPool

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.jobs.devices import Device
    from versemill.jobs.execution.worker_api import Claim
    from versemill.jobs.storage.unit_of_work import Store
    from worker_cluster import Cluster


class Inventory:
    """Devices that a test decides."""

    def __init__(self, *gpus: GPU) -> None:
        self.gpus = list(gpus)

    def measure(self) -> tuple[Device, ...]:
        return tuple(replace(gpu.measure(), machine=None) for gpu in self.gpus)


class Supervised:
    """Takes the place of supervisors: remembers claims, and trains nothing."""

    plugin_mismatch = False
    claims: list[Claim]

    def __init__(self, _settings: object, _store: object, claim: Claim, *_: object) -> None:
        self.claims.append(claim)

    def run(self) -> bool:
        return True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices whose kind of machine was asked for; no process is started."""
    found: list[str] = []

    def machine(_context: object, device: Device) -> str:
        found.append(device.id)
        return f"cuda {device.name}"

    monkeypatch.setattr(offered_plugins, "machine", machine)
    monkeypatch.setattr(offered_plugins, "plugins", lambda _context, _device: ())
    monkeypatch.setattr(Supervised, "claims", [], raising=False)
    monkeypatch.setattr(slots, "Supervisor", Supervised)
    return found


def pool(store: Store, inventory: Inventory, monkeypatch: pytest.MonkeyPatch, home: Path) -> Any:
    monkeypatch.setenv("VERSEMILL_HOME", str(home))
    worker = replace(worker_api.register_worker(store, "attic", 4), plugins=None)
    places = Places(inventory=inventory, slots=4, threads=1)
    made = SlotPool(
        Settings.from_environment(),
        store,
        worker,
        places,
        None,  # type: ignore[arg-type] - starts no process here
        handing_over=threading.Event(),
    )
    made.open_slots()
    made._worker = replace(made._worker, plugins=None)  # jobs of the test need a plugin
    return made


def test_each_job_goes_where_there_is_room_then(
    sqlite_cluster: Cluster, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = GPU(foreign=75 * GB), GPU(id="GPU-2", foreign=20 * GB)
    inventory = Inventory(first, second)
    opened = pool(sqlite_cluster.store, inventory, monkeypatch, tmp_path)
    assert asked == ["GPU-1", "GPU-2"]
    for _ in range(3):
        submit(sqlite_cluster.store, memory=50 * GB)
    opened.work()
    assert [claim.device.id for claim in Supervised.claims] == ["GPU-2"]
    first.foreign = 0
    opened.work()
    assert [claim.device.id for claim in Supervised.claims] == ["GPU-2", "GPU-1"]
    assert Supervised.claims[-1].device.machine == "cuda NVIDIA H100"


def test_devices_that_vanish_come_back_or_are_new(
    sqlite_cluster: Cluster, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory = Inventory(GPU())
    opened = pool(sqlite_cluster.store, inventory, monkeypatch, tmp_path)
    submit(sqlite_cluster.store)
    inventory.gpus = []
    opened.work()
    opened._sweep()
    assert Supervised.claims == []
    (shown,) = service.live_workers(sqlite_cluster.store)
    assert shown.devices == ()
    inventory.gpus = [GPU(id="GPU-9"), GPU()]
    opened._sweep()
    assert asked == ["GPU-1", "GPU-9"]
    (shown,) = service.live_workers(sqlite_cluster.store)
    assert [device.id for device in shown.devices or ()] == ["GPU-9", "GPU-1"]
    opened.work()
    assert len(Supervised.claims) == 1
