"""Where the command line prints: all output goes through here, but for JSON and live screens.

So no command can forget that names and messages may hold what steers a terminal.
"""

from __future__ import annotations

import click

from versemill.escaping import harmless, one_line


def say(*lines: object, err: bool = False) -> None:
    """Prints each on a line of its own, whatever it holds; `err` for stderr."""
    for line in lines:
        click.echo(one_line(line), err=err)


def say_text(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Prints a text of several lines, such as lyrics or a table whose cells are escaped."""
    click.echo(harmless(text) + end, nl=False, err=err)


def say_file(text: str) -> None:
    """Prints what is to become a file: UTF-8 whatever the terminal's encoding."""
    click.echo(harmless(text).encode(), nl=False)
