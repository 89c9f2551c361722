"""`top`: devices, running jobs and the queue, live."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.jobs.service.overview import QueueView

_SECONDS = 1.0
_SHARE = 0.02
"""The queue is read again once its reading is at most this part of the time."""
_LINES = 40  # of a single print into a pipe
_COLUMNS = 200


@click.command()
@click.option("--once", is_flag=True, help="Print once, and end.")
def top(once: bool) -> None:
    """Watch devices, running jobs and the queue.

    Refreshed once a second; q or Ctrl-C ends. Where the output is no terminal it is printed once.

    \b
    Example:  versemill top
    """
    from versemill.cli.installation import installation

    with installation() as here:
        view = _View(here)
        if once or not sys.stdout.isatty():
            say(*view.lines(*_size()))
        else:
            _watch(view)


class _View:
    """Reads what is shown, and the queue less often where that takes long."""

    def __init__(self, here: Installation) -> None:
        self._here = here
        self._queue: QueueView | None = None
        self._queue_at = 0.0
        self._devices = 1

    def lines(self, width: int, height: int) -> list[str]:
        """All lines for a terminal of this size."""
        from versemill.cli.terminal.top_screen import rows_wanted, top_lines
        from versemill.jobs import service

        rows = rows_wanted(height, self._devices)
        now = service.overview(self._here.store, most=rows[1])
        self._devices = len(now.devices)
        rows = rows_wanted(height, self._devices)
        if self._queue is None or time.monotonic() >= self._queue_at:
            began = time.process_time()
            self._queue = service.queue_view(self._here.store, most=rows[2])
            self._queue_at = time.monotonic() + (time.process_time() - began) / _SHARE - _SECONDS
        return top_lines(now, self._queue, datetime.now(UTC), width=width, rows=rows)


def _size() -> tuple[int, int]:
    """Columns and lines of a terminal; more where the output is none."""
    import shutil

    if not sys.stdout.isatty():
        return _COLUMNS, _LINES
    size = shutil.get_terminal_size()
    return size.columns, size.lines


def _watch(view: _View) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.cli.terminal.keys import keys
    from versemill.errors import DatabaseError

    console = Console(highlight=False, markup=False, emoji=False)
    live = Live(console=console, screen=True, auto_refresh=False, redirect_stderr=True)
    with Interrupts() as interrupts, keys() as key, live:
        while not interrupts.count:
            began = time.monotonic()
            try:
                lines = view.lines(console.width, console.height)
            except DatabaseError as error:
                lines = [f"the database does not answer, trying again: {error}"]
            shown = "\n".join(lines[: console.height])
            live.update(Text(shown, no_wrap=True, overflow="crop"), refresh=True)
            if "q" in key(began + _SECONDS - time.monotonic()).lower():
                return
