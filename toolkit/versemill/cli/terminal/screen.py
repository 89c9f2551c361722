"""Where progress is shown: a live line on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from versemill.cli.terminal.output import say
from versemill.escaping import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.live import Live


class Screen(Protocol):
    """Shows lines that stay and one status that changes."""

    def line(self, text: str) -> None:
        """Adds a line that stays."""
        ...

    def status(self, text: str) -> None:
        """Replaces the status."""
        ...


class PlainScreen:
    """For pipes and files: every line whole and at once, no status."""

    def line(self, text: str) -> None:
        """Adds a line."""
        say(text)
        sys.stdout.flush()

    def status(self, text: str) -> None:
        """Nothing: a file has no line that changes."""


class NoScreen:
    """Shows nothing."""

    def line(self, text: str) -> None:
        """Nothing."""

    def status(self, text: str) -> None:
        """Nothing."""


class LiveScreen:
    """For terminals: lines scroll by above the status."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def line(self, text: str) -> None:
        """Adds a line above the status."""
        from rich.text import Text

        self._console.print(Text(one_line(text)), soft_wrap=True)

    def status(self, text: str) -> None:
        """Replaces the status."""
        from rich.text import Text

        shown = Text(one_line(text), style="bold", no_wrap=True, overflow="ellipsis")
        self._live.update(shown, refresh=True)


@contextmanager
def screen(*, err: bool = False) -> Iterator[Screen]:
    """The screen that suits stdout, or stderr."""
    if not (sys.stderr if err else sys.stdout).isatty():
        yield PlainScreen()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=err, highlight=False, markup=False, emoji=False)
    with Live(
        console=console, transient=True, auto_refresh=False, redirect_stdout=False,
        redirect_stderr=True,
    ) as live:  # fmt: skip
        yield LiveScreen(console, live)
