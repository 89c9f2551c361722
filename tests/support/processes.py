"""Processes that tests start: known signals when they start, and none of them left at the end.

`started` is for whoever starts a process by hand. `subprocess.run` needs nothing: it waits, and
what a failed or timed-out command has left behind is found after the test (`process_check`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

GRACE = "process_grace_seconds"
_IGNORED_BY_OTHERS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
_PR_SET_CHILD_SUBREAPER = 36
_HELPER = re.compile(r"from multiprocessing\.(forkserver|resource_tracker) import main")
_held: set[int] = set()


def reset_signals() -> None:
    """Gives every process started from here on default signal handlers and an empty mask.

    Under `nohup`, in the background of a script and in some CI systems this process was started
    with signals ignored, and its children would inherit that. It goes on doing nothing when they
    come, but by a handler, which a new program does not inherit.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in _IGNORED_BY_OTHERS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent ends (on Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def hold(pid: int) -> None:
    """Says that somebody ends this process, so that it may outlast a test."""
    _held.add(pid)


def release(pid: int) -> None:
    """Says that nobody does any more."""
    _held.discard(pid)


@contextmanager
def started(command: Sequence[str | Path], **settings: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that ends with the block, and all its descendants with it.

    Args:
        command: what to start.
        settings: those of `subprocess.Popen`.
    """
    process = subprocess.Popen(command, **settings)
    hold(process.pid)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[Any]) -> None:
    """Kills a process and its descendants, unless they have ended; closes its pipes."""
    if process.poll() is None:
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        kill(family)
        process.wait()
    release(process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what was not written is lost
                pipe.close()


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to each that is still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def left_behind() -> list[psutil.Process]:
    """This process' descendants that nobody holds. Adopted ones that have ended are reaped.

    Helpers of Python's multiprocessing whose process has ended are ended here, and not told: they
    end by themselves, but not while they import torch, which takes a busy machine long.
    """
    own = {
        getattr(resource_tracker._resource_tracker, "_pid", None),
        getattr(forkserver._forkserver, "_forkserver_pid", None),
    }
    found = []
    for child in psutil.Process().children():
        if child.pid in _held:
            continue
        family = [] if child.pid in own else [child]
        with contextlib.suppress(psutil.NoSuchProcess):
            family += child.children(recursive=True)
        for process in family:
            if _is_a_helper(process):
                kill([process])
            elif not _has_ended(process):
                found.append(process)
    return found


def _is_a_helper(process: psutil.Process) -> bool:
    """Whether it serves forks or tracks resources; trainers, forked from it, lead a group."""
    try:
        command = " ".join(process.cmdline())
        return bool(_HELPER.search(command)) and os.getpgid(process.pid) != process.pid
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def _has_ended(process: psutil.Process) -> bool:
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
        if process.ppid() == os.getpid():
            os.waitpid(process.pid, os.WNOHANG)
    except (psutil.NoSuchProcess, ChildProcessError):
        pass
    return True
