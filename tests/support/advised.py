"""What tests of advice share: the commands that a text advises, and whether each is one."""

from __future__ import annotations

import re
import shlex

import click

from versemill.cli.program import program

PLACEHOLDERS = {
    "+N": "+5", "N": "4", "NAME": "mine", "PATH": "PATH", "ENCODING": "gb18030", "{job_id}": "1",
    "{job_ids}": "1", "{lower_rate}": "0.0001", "{name}": "one", "{user}": "ann",
}  # fmt: skip


def commands(message: str) -> list[list[str]]:
    """The commands of Versemill that a text advises, as arguments."""
    found = re.findall(r"`versemill ([^`]+)`", message)
    return [[PLACEHOLDERS.get(word, word) for word in shlex.split(command)] for command in found]


def parse(arguments: list[str]) -> None:
    """Raises `click.UsageError` unless these arguments are a command with its options."""
    command: click.Command = program
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        with click.Context(program) as context:
            found = command.get_command(context, arguments[0])
        assert found is not None, arguments
        command, arguments = found, arguments[1:]
    filled = [re.sub(r"=\{\w+\}", "=0.1", word) for word in arguments]
    command.make_context("versemill", filled)
