"""The trainer's side of trackers: feeds each one's process, and never waits for it.

A thread for each tracker starts its process, writes one JSON line for each thing that happens into
its standard input, and closes that at the end. What gathers because the process is too slow is
dropped beyond `MOST_WAITING`.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, cast

from versemill.plugins.registry import in_short
from versemill.plugins.run_events import EpochReport, Finished, Progress
from versemill.plugins.tracker import Ending
from versemill.processes import module_command
from versemill_workers.protocol import describe_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from versemill.config.validation import JSONValue
    from versemill.plugins.run_events import Event
    from versemill.plugins.tracker import AttemptStart

MOST_WAITING = 1000
END_SECONDS = 0.25
"""How long the end of an attempt waits for its trackers to end."""
_ERROR_BYTES = 2000


class Tracking:
    """All trackers of one attempt; sends them its end on leaving the block.

    Args:
        specs: the trackers, as `selection.from_spec` reads them.
        run: the attempt.
        folder: the job's folder.
        remark: takes messages that become events of the job.
    """

    def __init__(
        self, specs: Sequence[str], run: AttemptStart, folder: str, remark: Callable[[str], None]
    ) -> None:
        self._processes = [_TrackerProcess(spec, run, folder, remark) for spec in specs]
        self._result: Finished | None = None

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            ending = Ending(outcome="failed", error=in_short(error))
        elif self._result is not None:
            ending = Ending(outcome="finished", result=self._result)
        else:
            ending = Ending(outcome="stopped")
        self._send("ended", asdict(ending))
        deadline = time.monotonic() + END_SECONDS
        for process in self._processes:
            process.close()
        for process in self._processes:
            process.join(deadline)

    def send(self, event: Event) -> None:
        """Passes on an event of the run."""
        if isinstance(event, Progress):
            self._send("progressed", asdict(event))
        elif isinstance(event, EpochReport):
            self._send("reported", asdict(event))
        else:
            self._result = event

    def _send(self, call: str, content: dict[str, JSONValue]) -> None:
        if self._processes:
            line = json.dumps([call, content]).encode() + b"\n"
            for process in self._processes:
                process.put(line)


class _TrackerProcess:
    """One tracker: its process, its thread, and what waits to be written."""

    def __init__(
        self, spec: str, run: AttemptStart, folder: str, remark: Callable[[str], None]
    ) -> None:
        self._spec = spec
        self._remark = remark
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._dropped = 0
        self._faulty = False
        self._waiting.put(json.dumps([spec, folder, asdict(run)]).encode() + b"\n")
        self._thread = threading.Thread(target=self._run, name=f"tracker {spec}", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Takes a line, unless too many wait."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(line)
        elif not self._faulty:
            self._dropped += 1

    def close(self) -> None:
        """Says that nothing more will come."""
        self._waiting.put(None)

    def join(self, deadline: float) -> None:
        """Waits until the tracker has ended, but not beyond the deadline; remarks what was lost."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        lost = self._dropped + max(0, self._waiting.qsize() - 1)  # the last one is no line
        if lost and not self._faulty:
            self._remark(f"tracker {self._spec} is too slow: it missed {lost:,} events")

    def _run(self) -> None:
        """Writes what waits, until it is closed or the process has ended; remarks why it has."""
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            module_command("versemill_workers.trackers.process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # the end of ours does not cut it short
        )
        written, printed = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            with written:
                while (line := self._waiting.get()) is not None:
                    written.write(line)
                    written.flush()
        except OSError:  # it has ended
            self._faulty = True
        with printed:
            error = printed.read(_ERROR_BYTES).decode(errors="replace")
        if process.wait() and not error:
            error = f"tracker {self._spec} has ended: {describe_exit(process.returncode)}"
        if error:
            self._remark(f"{error}; training goes on without it")
