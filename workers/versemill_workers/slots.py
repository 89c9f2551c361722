"""The slots of a worker: claims jobs for them, and requeues jobs of workers that are gone.

Celery only provides the threads. A message or the poller starts a thread; either way it claims
the best runnable job, if there is one, and supervises it to its end.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from versemill.errors import DatabaseError, VersemillError
from versemill.jobs import service
from versemill.jobs.devices import ANY_CPU
from versemill.jobs.execution import worker_api
from versemill.jobs.states import State
from versemill.plugins.discovery import find_sources
from versemill_workers import offered_plugins
from versemill_workers.supervisor.attempt import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerContext

    from versemill.jobs.devices import Device
    from versemill.jobs.execution.worker_api import WorkerRecord
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.settings import Settings
    from versemill_workers.devices import Places

logger = logging.getLogger("versemill.worker")

POLL_SECONDS = {"embedded": 0.5, "broker": 2.0}
"""Without a broker the poller finds every job; with one, those whose message was lost."""

SWEEP_SECONDS = 10.0
BACKOFF_SECONDS = 10.0
MAX_BACKOFF_SECONDS = 300.0


class SlotPool:
    """The slots of one worker process. All methods may be called from any thread.

    Args:
        settings: where the spool is, and whether there is a broker.
        store: the jobs.
        worker: this process's registration.
        places: how many jobs it runs at a time, and on which devices.
        context: starts trainer processes.
        handing_over: set once somebody has asked the worker to end.
        only: work on this job alone, and end once it is neither queued nor running.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        worker: WorkerRecord,
        places: Places,
        context: ForkServerContext,
        *,
        handing_over: threading.Event,
        only: int | None = None,
    ) -> None:
        self.handing_over = handing_over
        """Set once somebody has asked the worker to end: checkpoint, requeue, end."""
        self._settings = settings
        self._store = store
        self._worker = worker
        self._context = context
        self._only = only
        self._places = places
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._failures_in_a_row = 0
        self._supervisors: set[Supervisor] = set()
        self._poll_now = threading.Event()
        self._sweep_at = 0.0
        self._plugins_lock = threading.Lock()
        self._sources: list[tuple[str, str]] | None = None
        self._opened = False
        self._machines: dict[str, str] = {}
        self._devices: tuple[Device, ...] = ()
        self._forecaster = service.Forecaster(store)

    def work(self) -> None:
        """Claims jobs and supervises each to its end, until there is none or no free slot."""
        while not self.handing_over.is_set():
            try:
                slot = self._free.get_nowait()
            except queue.Empty:
                return
            try:
                if not self._work_once():
                    return
            finally:
                self._free.put(slot)
                self._poll_now.set()

    def open_slots(self) -> None:
        """Opens the slots for jobs, once trainers can be started without delay.

        Raises:
            OSError: no process can be started.
            EOFError: one ended before it said what kind of machine this is.
        """
        self._refresh_devices()
        self._refresh_plugins()
        self._opened = True
        for number in range(self._places.slots):
            self._free.put(number)
        self._sweep_at = 0.0  # a sweep also records what kind of machine this is
        self._poll_now.set()

    def has_free_slot(self) -> bool:
        """Whether a job could be started now."""
        return not self.handing_over.is_set() and not self._free.empty()

    def start_polling(self, dispatch: Callable[[], object]) -> None:
        """Polls the database at intervals, in a thread of its own.

        Args:
            dispatch: calls `work` in a thread of the worker's pool.
        """
        threading.Thread(target=self._poll, args=(dispatch,), name="poller", daemon=True).start()

    def hand_over(self) -> None:
        """Makes every supervisor checkpoint and requeue its job; claims nothing more."""
        self.handing_over.set()
        self._poll_now.set()

    def ask_to_end(self) -> None:
        """Ends the worker as a first signal does; nothing if it is ending already."""
        if not self.handing_over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def end_now(self) -> None:
        """Ends trainers and this process at once; leases bring the jobs back."""
        for supervisor in list(self._supervisors):
            supervisor.kill()
        os._exit(1)

    def _work_once(self) -> bool:
        """Whether there was a job."""
        try:
            claim = worker_api.claim(
                self._store, self._worker, devices=self._measured(), only=self._only
            )
        except DatabaseError as error:
            logger.warning("cannot claim: %s", error)
            return False
        if claim is None:
            return False
        supervisor = Supervisor(
            self._settings,
            self._store,
            claim,
            self._places.threads,
            self._context,
            self.handing_over,
        )
        self._supervisors.add(supervisor)
        try:
            worker_ok = supervisor.run()
        finally:
            self._supervisors.discard(supervisor)
        self._failures_in_a_row = 0 if worker_ok else self._failures_in_a_row + 1
        if supervisor.plugin_mismatch:
            self._record_plugins_now()
        if not worker_ok:  # a broken worker must not claim one job after the other
            pause = BACKOFF_SECONDS * 2.0 ** (self._failures_in_a_row - 1)
            self.handing_over.wait(min(pause, MAX_BACKOFF_SECONDS))
        return True

    def _poll(self, dispatch: Callable[[], object]) -> None:
        interval = POLL_SECONDS["embedded" if self._settings.embedded else "broker"]
        while not self.handing_over.is_set():
            try:
                if time.monotonic() >= self._sweep_at:
                    self._sweep_at = time.monotonic() + SWEEP_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
                    self._sweep()
                if (person := worker_api.drained_by(self._store, self._worker)) is not None:
                    logger.warning("told to end by %s", person)
                    break
                if self._only is not None and self._is_over(self._only):
                    break
                self._look_for_work(dispatch)
            except VersemillError as error:
                logger.warning("cannot look for work: %s", error)
            except Exception:
                if not self.handing_over.is_set():  # as it ends, the pool takes no more
                    logger.exception("cannot look for work")
            self._poll_now.wait(interval)
            self._poll_now.clear()
        self.ask_to_end()

    def _look_for_work(self, dispatch: Callable[[], object]) -> None:
        if not self._free.empty() and worker_api.runnable(
            self._store, self._worker, devices=self._devices, only=self._only
        ):
            dispatch()
        worker_api.preempt(self._store)
        if self._only is None:
            self._forecaster.look()

    def _measured(self) -> tuple[Device, ...]:
        """The devices as they are now, of those whose kind of machine is known."""
        return tuple(
            replace(device, machine=self._machines[device.id])
            for device in self._places.inventory.measure()
            if device.id in self._machines
        )

    def _refresh_devices(self) -> None:
        """Finds out which devices there are, and what kind of machine each new one makes."""
        for device in self._places.inventory.measure():
            if device.id not in self._machines:
                self._machines[device.id] = offered_plugins.machine(self._context, device)
        self._devices = self._measured()
        machines = sorted(set(self._machines.values()))
        self._worker = replace(self._worker, machines=machines, devices=self._devices)

    def _refresh_plugins(self) -> None:
        """Finds out which plugins there are, if they may be others than before."""
        with self._plugins_lock:
            sources = [(s.distribution, s.version) for s in find_sources()]
            if sources == self._sources:
                return
            device = self._devices[0] if self._devices else ANY_CPU
            found = offered_plugins.plugins(self._context, device)
            self._worker = replace(self._worker, plugins=found)
            self._sources = sources

    def _record_plugins_now(self) -> None:
        """Records at once which plugins there are: a trainer found others than recorded."""
        self._sources = None
        try:
            self._refresh_plugins()
            worker_api.heartbeat(self._store, self._worker)
        except (OSError, DatabaseError) as error:
            logger.warning("cannot record which plugins this worker has: %s", error)

    def _sweep(self) -> None:
        try:
            if self._opened:
                self._refresh_devices()
                self._refresh_plugins()
        except (OSError, EOFError) as error:
            logger.warning("cannot look for devices and plugins: %s", error)
        worker_api.heartbeat(self._store, self._worker)
        for job_id in worker_api.sweep(self._store, self._worker):
            logger.warning("job %d: its worker's lease expired; it is queued again", job_id)
        worker_api.enforce_reservations(self._store)
        if self._settings.checkpoint_limit is not None:
            for freed in worker_api.free_checkpoints(self._store, self._settings.checkpoint_limit):
                logger.warning("%s", freed)

    def _is_over(self, job_id: int) -> bool:
        state = service.find(self._store, str(job_id)).state
        return not self._free.empty() and state not in {State.QUEUED, State.RUNNING}
