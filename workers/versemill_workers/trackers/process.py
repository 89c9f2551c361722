"""A tracker's process, started by `tracking`: `python -m versemill_workers.trackers.process`.

Reads JSON lines: first what to start, then one for each call. What is wrong with the tracker goes
to standard output, in one line; whatever it prints goes to the trainer's output.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versemill.errors import PluginError, VersemillError
from versemill.files import PRIVATE_UMASK, make_private_folder
from versemill.plugins.isolation import OverdueError, limited
from versemill.plugins.registry import IMPORT_SECONDS, Registry, in_short
from versemill.plugins.run_events import EpochReport, Finished, HeldOut, Lyric, Progress
from versemill.plugins.selection import from_spec
from versemill.plugins.tracker import CALL_SECONDS, AttemptStart, Ending, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable

LAST_SECONDS = 10.0
"""How long it may go on when its trainer is gone."""
_GRACE_SECONDS = 2.0
_LOWER_PRIORITY = 10


class _FaultError(Exception):
    """What is wrong with the tracker, in words for an event of the job."""


def main() -> None:
    """Runs one tracker for one attempt."""
    errors = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.umask(PRIVATE_UMASK)
    os.nice(_LOWER_PRIORITY)  # the training goes first
    try:
        _follow(_CallLimits())
    except _FaultError as fault:
        errors.write(str(fault))
        errors.flush()
        os._exit(1)  # whatever threads it has left behind


def _follow(limits: _CallLimits) -> None:
    spec, folder, run = json.loads(sys.stdin.buffer.readline())
    label, tracker = _start(spec, Path(folder), limits)

    def call(name: str, argument: object) -> None:
        limits.call(label, getattr(tracker, name), argument)

    call("started", AttemptStart(**run))
    ended = False
    for line in sys.stdin.buffer:
        try:
            name, content = json.loads(line)
        except ValueError:  # cut off: its trainer was killed
            break
        call(name, _ARGUMENTS[name](content))
        ended = name == "ended"
    if not ended:
        call("ended", Ending(outcome="lost"))


def _start(spec: str, folder: Path, limits: _CallLimits) -> tuple[str, Tracker]:
    """The tracker, and how messages name it."""
    limits.watch(2 * IMPORT_SECONDS)
    try:
        selected = from_spec("tracker", spec, Registry.discover())
        tracker: type[Tracker] = selected.load()
    except PluginError as error:
        raise _FaultError(str(error)) from None
    except VersemillError as error:
        raise _FaultError(f"tracker {spec}: {error}") from None
    label, options = selected.registration.label, selected.options
    try:
        make_private_folder(folder)
    except OSError as error:
        raise _FaultError(f"{label} has no folder: {folder}: {error.strerror}") from None
    return label, limits.call(label, lambda given: tracker(folder, **given), options)


class _CallLimits:
    """Ends a call that takes too long; the whole process if Python cannot."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._last: float | None = None  # when it has to end, once its trainer is gone

    def call(self, label: str, function: Callable[[Any], Any], argument: object) -> Any:
        """Calls it with its time limited; raises `_FaultError` if it raises or takes too long."""
        seconds = self._allowed()
        self.watch(seconds + _GRACE_SECONDS)
        try:
            with limited(seconds):
                return function(argument)
        except OverdueError as overdue:
            raise _FaultError(f"{label}: {overdue}") from None
        except Exception as error:  # noqa: BLE001 - third-party code may raise anything
            sys.excepthook(type(error), error, error.__traceback__)  # for the job's log
            raise _FaultError(f"{label} raised {in_short(error)}") from None

    def watch(self, seconds: float) -> None:
        """Ends the process, with a traceback in the job's log, unless called again in time."""
        faulthandler.dump_traceback_later(seconds, exit=True)

    def _allowed(self) -> float:
        if self._last is None and os.getppid() != self._parent:
            self._last = time.monotonic() + LAST_SECONDS
        if self._last is None:
            return CALL_SECONDS
        return max(0.001, min(CALL_SECONDS, self._last - time.monotonic()))


def _report(content: dict[str, Any]) -> EpochReport:
    lyrics = tuple(Lyric(**lyric) for lyric in content.pop("lyrics"))
    return EpochReport(**content, lyrics=lyrics)


def _ending(content: dict[str, Any]) -> Ending:
    result = content.pop("result")
    if result is not None:
        held_out = {part: HeldOut(**figures) for part, figures in result.pop("held_out").items()}
        result = Finished(**result, held_out=held_out)
    return Ending(**content, result=result)


_ARGUMENTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "progressed": lambda content: Progress(**content),
    "reported": _report,
    "ended": _ending,
}


if __name__ == "__main__":
    main()
