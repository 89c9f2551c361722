"""A throw-away installation for benchmarks: real commands, a real worker, SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    """The environment of commands whose data is in `home`; nothing else is configured.

    Not even Python: without its cache of compiled modules everything starts slower.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("VERSEMILL_", "PYTHON"))}
    return kept | {"VERSEMILL_HOME": str(home), "VERSEMILL_USER": "benchmark"}


def submit(env: dict[str, str], name: str, *options: str) -> None:
    """Queues a job."""
    command = [sys.executable, "-m", "versemill", "submit", "--name", name, *options]
    subprocess.run(command, env=env, check=True, capture_output=True)


@contextmanager
def worker(env: dict[str, str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with one slot on the CPU; ended, with its job handed over, at the end."""
    command = [sys.executable, "-m", "versemill_workers", "--devices", "cpu", *options]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
