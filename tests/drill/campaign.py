"""One drill from its first job to its findings."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from drill import commit_faults
from drill.faults import FAULTS
from drill.fleet import make_fleet
from drill.workload import KINDS, Workload
from versemill.errors import DatabaseError
from versemill.jobs import service
from versemill.jobs.states import State
from versemill.jobs.storage.unit_of_work import Store
from versemill.settings import Settings
from versemill.testing.resume_proof.comparison import read_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from drill.stacks import Stack
    from versemill.testing.resume_proof.comparison import Record

FAULT_SECONDS = (0.2, 1.8)
"""Shortest and longest time between two faults."""
QUIET_SECONDS = 180.0
"""How long undisturbed jobs may take."""
END_SECONDS = 300.0
"""How long jobs may take to be trained to their end after the last fault."""
THAW_SECONDS = 60.0
"""After so long nothing is to be frozen any more, by whatever two faults together."""
HAND_OVER_SECONDS = 60.0


class Campaign:
    """Workers, their jobs, and what is done to them.

    Args:
        stack: where the jobs live.
        folder: for the workers' data, and the drill's own log.
        seed: decides what is done and when; what it meets depends on the machine.
        members: how many workers.
        tell: shows a line.
    """

    def __init__(
        self, stack: Stack, folder: Path, *, seed: int, members: int, show: Callable[[str], None]
    ) -> None:
        commit_faults.shrink_chunks()
        self.stack = stack
        self.draw = random.Random(seed)
        self.fleet = make_fleet(members, folder, stack)
        settings = replace(
            Settings.from_environment(),
            home=folder,
            database_url=stack.database_url,
            broker_url=stack.broker_url or "memory://localhost",
        )
        self.work = Workload(store=Store.open(stack.database_url, connections=4), settings=settings)
        self.faults: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self.forced_failures: list[tuple[int, int, datetime]] = []
        self.given_up = 0
        self.began = time.monotonic()
        self._show = show
        self._undo_queue = _UndoQueue(self._log)
        self._events = folder / "drill.log"

    def run(self, seconds: float) -> dict[int, Record]:
        """Everything; returns what undisturbed jobs of each kind have left."""
        for member in self.fleet:
            member.start()
        undisturbed = self._undisturbed()
        self._disturb(seconds)
        self._show("no more faults; every job is to be trained to its end")
        self._finish_jobs()
        for member in self.fleet:
            member.end()
        for member in self.fleet:
            code = member.wait(HAND_OVER_SECONDS)
            member.exits.append(-1 if code is None else code)
        return undisturbed

    def later(self, seconds: float, undo: Callable[[], object]) -> None:
        """Has something done in so many seconds, by another thread."""
        self._undo_queue.later(seconds, undo)

    def note_forced_failure(self, job_id: int, attempt: int) -> None:
        """Notes that an attempt was made to fail."""
        self.forced_failures.append((job_id, attempt, datetime.now(UTC)))

    def count(self, fault_done: str) -> None:
        """Notes that an order was carried out."""
        self.commits[fault_done] += 1
        self._log(f"done: {fault_done}")

    def resume_and_retry(self) -> None:
        """People resume and retry what is paused, cancelled or given up."""
        self.given_up += self.work.resume_and_retry()

    def close(self) -> None:
        """Leaves no process behind."""
        self._undo_queue.close()
        for member in self.fleet:
            member.end_all()
        self.work.store.close()

    def _undisturbed(self) -> dict[int, Record]:
        jobs = [self.work.submit(kind) for kind in range(len(KINDS))]
        deadline = time.monotonic() + QUIET_SECONDS
        while len(self.work.jobs(State.SUCCEEDED)) < len(jobs):
            if time.monotonic() > deadline:
                raise RuntimeError(f"undisturbed jobs have not ended in {QUIET_SECONDS:.0f} s")
            time.sleep(0.1)
        records = {}
        for kind, job in enumerate(jobs):
            assert job is not None
            if (attempts := service.find(self.work.store, job.name).attempt) != 1:
                raise RuntimeError(f"job {job.id} was not undisturbed: {attempts} attempts")
            records[kind] = read_record(self.work.store, job.id)
        self._show(f"undisturbed jobs of {len(jobs)} kinds trained in {self._clock():.0f} s")
        return records

    def _disturb(self, seconds: float) -> None:
        enough = threading.Event()
        people = threading.Thread(target=self.work.submit_until, args=(enough,), name="people")
        people.start()
        faults = FAULTS[self.stack.name]
        pending: list[Callable[[Campaign], str | None]] = []
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            pending = pending or self.draw.sample(faults, len(faults))
            self._cause_fault(pending.pop())
            self._restart_ended_workers()
            time.sleep(self.draw.uniform(*FAULT_SECONDS))
        enough.set()
        people.join()

    def _cause_fault(self, fault: Callable[[Campaign], str | None]) -> None:
        try:
            done = fault(self)
        except Exception as error:  # noqa: BLE001 - a server that another fault took away
            self._log(f"{fault.__name__} could not be done: {error!r}")
            return
        if done is not None:
            self.faults[fault.__name__.replace("_", " ")] += 1
            self._log(done)

    def _restart_ended_workers(self) -> None:
        """Starts workers that have ended and that nobody else will start."""
        for member in self.fleet:
            if not member.running and not member.stays_down:
                self._log(f"worker {member.name} has ended by itself")
                member.start()

    def _finish_jobs(self) -> None:
        """Waits until every fault is undone and every job has been trained to its end."""
        began = time.monotonic()
        while time.monotonic() < began + END_SECONDS:
            if time.monotonic() > began + THAW_SECONDS:
                for member in self.fleet:
                    member.thaw()
            if self._undo_queue.idle():
                self._restart_ended_workers()
                self.resume_and_retry()
                jobs = self.work.jobs()
                if jobs and all(job.state is State.SUCCEEDED for job in jobs) and self._all_up():
                    return
            time.sleep(0.25)
        self._show(f"not everything has come to its end in {END_SECONDS:.0f} s")

    def _all_up(self) -> bool:
        """Whether every worker has got so far that it can be told to end, and clears up."""
        listed: set[int | None] = set()
        with contextlib.suppress(DatabaseError):
            listed = {worker.pid for worker in service.live_workers(self.work.store)}
        return all(member.pid in listed for member in self.fleet)

    def _log(self, line: str) -> None:
        with self._events.open("a") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S.%f} {self._clock():8.2f} s  {line}\n")

    def _clock(self) -> float:
        return time.monotonic() - self.began


class _UndoQueue:
    """Undoes faults when they are due, in a thread of its own."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._busy = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="undo", daemon=True)
        self._thread.start()

    def later(self, seconds: float, undo: Callable[[], object]) -> None:
        with self._changed:
            entry = (time.monotonic() + seconds, next(self._numbers), undo)
            heapq.heappush(self._due, entry)
            self._changed.notify()

    def idle(self) -> bool:
        with self._changed:
            return not self._due and not self._busy

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(30)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    wait = self._due[0][0] - time.monotonic() if self._due else None
                    self._changed.wait(wait)
                if self._closed:
                    return
                _, _, undo = heapq.heappop(self._due)
                self._busy = True
            try:
                undo()
            except Exception as error:  # noqa: BLE001 - the findings will show what came of it
                self._log(f"could not be undone: {error!r}")
