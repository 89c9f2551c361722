"""The drill's workers: processes under lasting names, each as if on a machine of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

import processes
from drill import commit_faults
from versemill.processes import module_command

if TYPE_CHECKING:
    from drill.stacks import Stack

SLOTS = 2
CHECKPOINT_SECONDS = 1
HOUR = 3600.0
_SPOOL = re.compile(r"-job-(\d+)-(\d+)/output\.txt$")
_UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
_TESTS = Path(__file__).parents[1]
_PATH = [str(_TESTS), str(_TESTS / "support"), *filter(None, [os.environ.get("PYTHONPATH")])]


class Trainer(NamedTuple):
    """A trainer process and what it works on."""

    process: psutil.Process
    job_id: int
    attempt: int


class Member:
    """A worker under one name, started again and again. Methods may be called from any thread.

    Args:
        name: its name, and that of its data folder.
        folder: where that is.
        stack: the database and broker it uses.
        clock: how far its clock is off, in seconds.
    """

    def __init__(self, name: str, folder: Path, stack: Stack, *, clock: float = 0.0) -> None:
        self.name = name
        self.home = folder / name
        self.home.mkdir()
        self.starts = 0
        self.stays_down = False
        """Whether somebody has seen to it that it is started later."""
        self.ordered = False
        """Whether it is under an order, carried out or not, that was not withdrawn yet."""
        self.exits: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.RLock()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": os.pathsep.join(_PATH),
            "VERSEMILL_HOME": str(self.home),
            "VERSEMILL_DATABASE_URL": stack.database_url,
            "VERSEMILL_BROKER_URL": stack.broker_url,
            "VERSEMILL_CHECKPOINT_SECONDS": str(CHECKPOINT_SECONDS),
            "OMP_NUM_THREADS": "1",
            commit_faults.CLOCK: str(clock),
        }

    def start(self) -> None:
        """Starts it under its name, unless it runs."""
        with self._changing:
            self.stays_down = False
            if self.running:
                return
            command = module_command("drill.commit_faults", "--name", self.name)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*command, "--slots", str(SLOTS)],
                    cwd=self.home,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is the drill's
                )
            processes.hold(self._process.pid)
            self.starts += 1

    @property
    def running(self) -> bool:
        """Whether its process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of its newest process."""
        return self._process.pid if self._process is not None else None

    @property
    def log(self) -> Path:
        """What all its processes have printed."""
        return self.home / "worker.log"

    def kill(self) -> None:
        """SIGKILL to the worker alone; its trainers have to notice."""
        self._signal(signal.SIGKILL)

    def end(self) -> None:
        """SIGTERM: hand over, or, the second time, end at once."""
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP to the worker; its trainers run on."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def order(self, at: str | None, act: str) -> None:
        """Makes it cause a fault in itself at its next commit of that kind."""
        self.ordered = True
        fresh = self.home / "fresh-order.json"
        fresh.write_text(json.dumps({"at": at, "act": act}))
        (self.home / commit_faults.DONE).unlink(missing_ok=True)
        fresh.rename(self.home / commit_faults.ORDER)

    def withdraw(self) -> bool:
        """Takes an order back; whether it was carried out before."""
        self.ordered = False
        (self.home / commit_faults.ORDER).unlink(missing_ok=True)
        return (self.home / commit_faults.DONE).exists()

    def trainers(self) -> list[Trainer]:
        """Its trainers that have begun to work, children of its fork server."""
        found = []
        for process in self.descendants():
            with contextlib.suppress(psutil.Error):
                files = (_SPOOL.search(file.path) for file in process.open_files())
                if match := next(filter(None, files), None):
                    found.append(Trainer(process, int(match[1]), int(match[2])))
        return found

    def descendants(self) -> list[psutil.Process]:
        """Every process below the worker's."""
        with contextlib.suppress(psutil.Error):
            if self._process is not None:
                return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def limit_files(self, limit: int | None, *processes: psutil.Process) -> None:
        """Lets processes write no file beyond so many bytes, as if the disk were full."""
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                limits = _UNLIMITED if limit is None else (limit, resource.RLIM_INFINITY)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)

    def own_process(self) -> list[psutil.Process]:
        """The worker's own process, if it is there."""
        with contextlib.suppress(psutil.Error):
            if self._process is not None and self.running:
                return [psutil.Process(self._process.pid)]
        return []

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None if it has not ended by then."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end_all(self) -> None:
        """Ends all its processes, whatever they are doing."""
        if self._process is not None:
            processes.end(self._process)

    def _signal(self, number: int) -> None:
        with self._changing:
            if self._process is not None and self.running:
                self._process.send_signal(number)


def make_fleet(count: int, folder: Path, stack: Stack) -> list[Member]:
    """So many workers, none started yet; the clocks of the first two are an hour apart."""
    clocks = [-HOUR / 2, HOUR / 2, *[0.0] * count]
    return [
        Member(f"gpu-{number + 1}", folder, stack, clock=clocks[number]) for number in range(count)
    ]
