"""Trying a plugin in a process of its own: one that hangs or changes what belongs to all is found.

    faults = probe("versemill-haiku")

The process is `python -m versemill.plugins.probing DISTRIBUTION SECONDS FOLDER`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import locale
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from versemill.errors import PluginError, UnknownNameError
from versemill.plugins.discovery import find_sources
from versemill.plugins.isolation import captured
from versemill.plugins.registry import Registry
from versemill.processes import module_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECONDS = 10.0
_START_SECONDS = 120.0  # torch is imported meanwhile
_SHOWN = 60
_RESULTS = "results.jsonl"
_TRACEBACK = "traceback.txt"
_END = {"end": True}


def probe(distribution: str, *, seconds: float = SECONDS) -> tuple[str, ...]:
    """Imports a plugin, calls its hooks and imports what they offer, in a process of its own.

    Args:
        distribution: its distribution as `versemill plugins list` names it; of a folder plugin,
            the name of its file or folder.
        seconds: time it has for all of that; torch is there already.

    Returns:
        What is wrong, a line for each; empty if nothing is. Found are: whatever disables it, an
        implementation that cannot be loaded, output while loading one, not coming to an end,
        ending the process, and changes to the environment, `sys.path`, the working directory,
        the locale, signal handlers, logging's root, random generators, and torch's default
        dtype and device, thread count, determinism and gradients.

    Raises:
        UnknownNameError: no plugin has that distribution.
    """
    known = {source.distribution for source in find_sources()}
    if distribution not in known:
        raise UnknownNameError("plugin", distribution, known)
    results = run_in_own_process(
        "versemill.plugins.probing", (distribution, str(seconds)), seconds=seconds
    )
    return (*results.lines, *filter(None, [results.fault]))


@dataclass(frozen=True)
class ProcessResults:
    """What a process of its own has written.

    Attributes:
        lines: JSON values, one a line.
        fault: why it ended early; empty if it came to its end.
    """

    lines: list[Any]
    fault: str


def run_in_own_process(module: str, arguments: Sequence[str], *, seconds: float) -> ProcessResults:
    """Runs `python -m MODULE ARGUMENTS… FOLDER` and reads what that wrote by a `ResultWriter`.

    Args:
        module: its `main` makes a `ResultWriter(FOLDER)` first.
        arguments: of it.
        seconds: that the module gives itself; one that does not heed them is ended later.
    """
    with tempfile.TemporaryDirectory(prefix="versemill-probe-") as folder:
        code = _run(module, [*arguments, folder], seconds)
        lines = [json.loads(line) for line in _lines(Path(folder, _RESULTS)) if line.endswith("\n")]
        if lines and lines[-1] == _END:
            return ProcessResults(lines[:-1], "")
        stood = _lines(Path(folder, _TRACEBACK))
        if code is None or stood:
            fault = f"it does not come to an end: stopped after {seconds:g} s{_place(stood)}"
        else:
            fault = f"it ends the process that tries it ({_ending(code)})"
        return ProcessResults(lines, fault)


def _run(module: str, arguments: list[str], seconds: float) -> int | None:
    """Exit code of the process; None if it had to be ended from here."""
    process = subprocess.Popen(  # noqa: S603 - this very Python and room
        module_command(module, *arguments),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds + _START_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever the plugin has started, too
        process.wait()


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)


def _place(stood: list[str]) -> str:
    """The line at which it stood, if its own watchdog saw it."""
    place = next((line.strip() for line in stood if line.startswith("  File ")), "")
    return f" at {place}" if place else ""


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


# Within the process


class ResultWriter:
    """Writes each result at once, so that none is lost to a plugin that ends the process."""

    def __init__(self, folder: str) -> None:
        self._results = Path(folder, _RESULTS).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
        self._where = Path(folder, _TRACEBACK).open("w", encoding="utf-8")  # noqa: SIM115

    def write(self, value: object) -> None:
        """Writes one JSON value."""
        self._results.write(json.dumps(value) + "\n")
        self._results.flush()

    def watch(self, seconds: float) -> None:
        """Ends the process after so many seconds from now, and writes where it stood."""
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._where)

    def end(self) -> NoReturn:
        """Writes that this is all; threads of the plugin's own might go on for ever."""
        faulthandler.cancel_dump_traceback_later()
        self.write(_END)
        os._exit(0)


def faults_of(distribution: str) -> list[str]:
    """What is wrong with a plugin that this process imports for the first time: see `probe`."""
    import torch  # noqa: F401 - its import changes state, which the plugin has not caused

    before = _state()
    faults = _try_out(distribution)
    after = _state()
    changes = [
        f"it changes {what}, which belongs to all: {_change(old, after[what])}"
        for what, old in before.items()
        if after[what] != old
    ]
    return faults + changes


def main(distribution: str, seconds: str, folder: str) -> None:
    """Tries one plugin and writes what is wrong with it."""
    import torch  # noqa: F401 - takes seconds of its own

    writer = ResultWriter(folder)
    writer.watch(float(seconds))
    for fault in faults_of(distribution):
        writer.write(fault)
    writer.end()


def _try_out(distribution: str) -> list[str]:
    sources = [s for s in find_sources() if s.distribution == distribution]
    built_in = [s for s in find_sources() if s.built_in and s.distribution != distribution]
    registry = Registry.of(built_in + sources)
    faults = [f"it is disabled: {plugin.reason}" for plugin in registry.disabled]
    for registration in registry.all():
        if registration.distribution != distribution:
            continue
        try:
            with captured(), contextlib.redirect_stderr(None):
                registration.load()
        except PluginError as error:
            faults.append(str(error))
    return faults


def _state() -> dict[str, str]:
    return {what: repr(look()) for what, look in _LOOKS.items()}


def _change(old: str, new: str) -> str:
    if max(len(old), len(new)) > _SHOWN:
        return "it was something else before"
    return f"{old} became {new}"


def _torch_randomness() -> object:
    import torch

    return torch.get_rng_state().tolist()


def _torch_defaults() -> object:
    import torch

    return torch.get_default_dtype(), torch.get_default_device()


def _torch_modes() -> object:
    import torch

    exact = torch.are_deterministic_algorithms_enabled()
    return exact, torch.is_grad_enabled(), torch.get_float32_matmul_precision()


def _torch_threads() -> object:
    import torch

    return torch.get_num_threads(), torch.get_num_interop_threads()


def _numpy_randomness() -> object:
    import numpy as np

    return np.random.get_state()


_LOOKS: dict[str, Callable[[], object]] = {
    "environment variables": lambda: sorted(os.environ.items()),
    "sys.path": lambda: list(sys.path),
    "the working directory": Path.cwd,
    "the locale": lambda: locale.setlocale(locale.LC_ALL),
    "signal handlers": lambda: [signal.getsignal(s) for s in sorted(signal.valid_signals())],
    "logging's root level": lambda: logging.getLogger().level,
    "logging's root handlers": lambda: list(logging.getLogger().handlers),
    "random's state": random.getstate,
    "numpy's random state": _numpy_randomness,
    "torch's random state": _torch_randomness,
    "torch's default dtype and device": _torch_defaults,
    "torch's thread counts": _torch_threads,
    "torch's determinism, gradients or precision": _torch_modes,
}


if __name__ == "__main__":
    main(*sys.argv[1:])
