"""A simulated GPU that several workers share, and jobs that need some of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from job_queue import CONFIG, TEXT
from people import ANN
from versemill.jobs import service
from versemill.jobs.devices import Device, DeviceNeeds
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Submission
from versemill.plugins.record import PluginRecord

if TYPE_CHECKING:
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord
    from versemill.jobs.service import Principal
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobView

GB = 10**9
GRU = PluginRecord(kind="cell", name="gru", distribution="versemill", version="0")


@dataclass
class GPU:
    """What a worker would measure; a test changes it.

    Attributes:
        taken: bytes that each job has really taken, by number.
        foreign: bytes that processes outside the queue use.
    """

    id: str = "GPU-1"
    memory: int = 80 * GB
    taken: dict[int, int] = field(default_factory=dict)
    foreign: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def measure(self) -> Device:
        free = self.memory - self.foreign - sum(self.taken.values())
        device = Device(id=self.id, kind="gpu", name="NVIDIA H100", memory=self.memory, free=free)
        return replace(device, max_jobs=4, machine="cuda h100", **self.settings)

    def takes(self, store: Store, claim: Claim, size: int, *, told: bool = True) -> None:
        """A job takes memory, and says so unless it has not got so far."""
        self.taken[claim.job_id] = size
        if told:
            worker_api.record(store, claim, memory_used=size)


def submit(
    store: Store, *, shape: str | None = None, principal: Principal = ANN, **needs: Any
) -> JobView:
    """Queues a job that needs so much of a device (`DeviceNeeds`)."""
    submission = Submission(
        config=CONFIG, text=TEXT, plugins=[GRU], needs=DeviceNeeds(**needs), shape=shape
    )
    return service.enqueue(store, submission, principal).job


def claim(store: Store, worker: WorkerRecord, *gpus: GPU) -> Claim | None:
    """A worker asks for a job, with its GPUs as they are now."""
    return worker_api.claim(store, worker, devices=[gpu.measure() for gpu in gpus])
