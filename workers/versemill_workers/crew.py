"""What a worker does: fill its slots with jobs, and sweep up after others.

Celery only lends the threads. Whether a message or the poller woke a thread makes no difference:
it claims the best runnable job, if any, and supervises it to its end.
"""

from __future__ import annotations

import logging
import os
import queue
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

from versemill.errors import DatabaseError, VersemillError
from versemill.jobs import leases, service
from versemill.jobs.states import State
from versemill_workers.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerContext

    from versemill.jobs.leases import WorkerRecord
    from versemill.jobs.store import Store
    from versemill.settings import Settings
    from versemill_workers.devices import Slot

logger = logging.getLogger("versemill.worker")

SWEEP_SECONDS = 10.0
TROUBLE_SECONDS = 10.0


class Crew:
    """The slots of one worker process. All methods may be called from any thread.

    Args:
        settings: where the spool is, and whether there is a broker.
        store: the jobs.
        worker: this process's registration.
        slots: room for jobs.
        context: starts trainer processes.
        only: work on this job alone, and end once it is neither queued nor running.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        worker: WorkerRecord,
        slots: list[Slot],
        context: ForkServerContext,
        *,
        only: int | None = None,
    ) -> None:
        self.handing_over = threading.Event()
        """Set once the worker has been told to end: checkpoint, requeue, end."""
        self._ready = threading.Event()
        self._settings = settings
        self._store = store
        self._worker = worker
        self._context = context
        self._only = only
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._supervisors: set[Supervisor] = set()
        self._nudge = threading.Event()
        self._poller: threading.Thread | None = None

    def work(self) -> None:
        """Claims jobs and supervises each to its end, until there is none or no free slot."""
        while self._ready.is_set() and not self.handing_over.is_set():
            try:
                slot = self._free.get_nowait()
            except queue.Empty:
                return
            try:
                if not self._work_once(slot):
                    return
            finally:
                self._free.put(slot)
                self._nudge.set()

    def get_going(self) -> None:
        """Says that trainers can be started without delay; nothing is claimed before."""
        self._ready.set()
        self._nudge.set()

    def start_polling(self, dispatch: Callable[[], object]) -> None:
        """Looks at the database every so often from a thread of its own.

        Args:
            dispatch: has `work` called by a thread of the worker's pool.
        """
        self._poller = threading.Thread(
            target=self._poll, args=(dispatch,), name="poller", daemon=True
        )
        self._poller.start()

    def hand_over(self) -> None:
        """Tells every supervisor to checkpoint and requeue its job; claims nothing more."""
        self.handing_over.set()
        self._nudge.set()

    def ask_to_end(self) -> None:
        """Ends the worker as a first signal does; nothing if it is ending already."""
        if not self.handing_over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def end_now(self) -> None:
        """Ends trainers and this process at once; leases bring the jobs back."""
        for supervisor in list(self._supervisors):
            supervisor.kill()
        os._exit(1)

    def _work_once(self, slot: Slot) -> bool:
        """Whether there was a job."""
        try:
            claim = leases.claim(self._store, self._worker, only=self._only)
        except DatabaseError as error:
            logger.warning("cannot claim: %s", error)
            return False
        if claim is None:
            return False
        supervisor = Supervisor(
            self._settings, self._store, claim, slot, self._context, self.handing_over
        )
        self._supervisors.add(supervisor)
        try:
            well = supervisor.run()
        finally:
            self._supervisors.discard(supervisor)
        if not well:  # a broken worker must not claim one job after the other
            self.handing_over.wait(TROUBLE_SECONDS)
        return True

    def _poll(self, dispatch: Callable[[], object]) -> None:
        # Alone, the poller carries everything; in a team it only mends what messages missed.
        interval = 0.5 if self._settings.embedded else 5.0
        sweep_at = 0.0
        while not self.handing_over.is_set():
            try:
                if time.monotonic() >= sweep_at:
                    self._sweep()
                    sweep_at = time.monotonic() + SWEEP_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
                if self._only is not None and self._is_over(self._only):
                    break
                if (
                    self._ready.is_set()
                    and not self._free.empty()
                    and leases.runnable(self._store, only=self._only)
                ):
                    dispatch()
            except VersemillError as error:
                logger.warning("cannot look for work: %s", error)
            except Exception:
                logger.exception("cannot look for work")
            self._nudge.wait(interval)
            self._nudge.clear()
        self.ask_to_end()

    def _sweep(self) -> None:
        leases.beat(self._store, self._worker)
        for job_id in leases.sweep(self._store, self._worker):
            logger.warning("job %d was left by its worker and is queued again", job_id)

    def _is_over(self, job_id: int) -> bool:
        state = service.find(self._store, str(job_id)).state
        return not self._free.empty() and state not in {State.QUEUED, State.RUNNING}
