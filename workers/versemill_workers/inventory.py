"""The devices of this machine, measured anew whenever a job may start.

The worker itself never touches CUDA: it asks the NVIDIA driver, in a thread that may hang.
"""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from versemill.jobs.devices import ANY_CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from versemill.jobs.devices import Device

logger = logging.getLogger("versemill.worker")

READ_SECONDS = 5.0
"""How long the driver has to answer. Then no job is started on a GPU until it does."""


class Inventory(Protocol):
    """Knows the devices that a worker may start jobs on."""

    def measure(self) -> tuple[Device, ...]:
        """The devices as they are now; those that cannot be measured are left out.

        May be called from any thread, takes at most a few seconds, and raises nothing.
        """


class CpuInventory:
    """The CPU, which has no memory to share out: the worker's slots are the limit."""

    def measure(self) -> tuple[Device, ...]:
        """The CPU."""
        return (ANY_CPU,)


class GpuInventory:
    """The GPUs of this machine.

    Args:
        read: reads all GPUs from the driver; may fail, and may hang.
        ids: UUIDs of those that the worker may use; None for all.
        max_jobs: most jobs at once on each.
        avoid_foreign: whether a GPU is left alone while processes outside the queue use it.
        seconds: how long `read` may take.
    """

    def __init__(
        self,
        read: Callable[[], list[Device]],
        *,
        ids: Iterable[str] | None = None,
        max_jobs: int = 1,
        avoid_foreign: bool = False,
        seconds: float = READ_SECONDS,
    ) -> None:
        self._read = read
        self._ids = None if ids is None else frozenset(ids)
        self._max_jobs = max_jobs
        self._avoid_foreign = avoid_foreign
        self._seconds = seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._told: str | None = None

    def measure(self) -> tuple[Device, ...]:
        """The GPUs that answer. What keeps the others from it is logged once, not every time."""
        with self._lock:
            found = self._read_in_time()
        return tuple(
            replace(device, max_jobs=self._max_jobs, avoid_foreign=self._avoid_foreign)
            for device in found
            if self._ids is None or device.id in self._ids
        )

    def _read_in_time(self) -> list[Device]:
        if self._thread is not None and self._thread.is_alive():
            return []  # an earlier reading still hangs
        answers: queue.SimpleQueue[list[Device] | str] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._answer, args=(answers,), name="devices", daemon=True
        )
        self._thread.start()
        try:
            answer = answers.get(timeout=self._seconds)
        except queue.Empty:
            answer = f"the driver did not answer within {self._seconds:g} s"
        if isinstance(answer, str):
            self._tell(answer)
            return []
        self._tell(None)
        return answer

    def _answer(self, answers: queue.SimpleQueue[list[Device] | str]) -> None:
        try:
            answers.put(self._read())
        except Exception as error:  # noqa: BLE001 - a driver's library may raise anything
            answers.put(f"{type(error).__name__}: {error}")

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and self._told is None:
            logger.warning("cannot measure the GPUs: %s; no job is started on one", trouble)
        elif trouble is None and self._told is not None:
            logger.warning("the GPUs can be measured again")
        self._told = trouble
