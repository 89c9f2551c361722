"""Somebody who does what a document says, line by line, with real commands."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from processes import started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from documents import Block

QUICK_START = ["make demo", "make test"]


class Reader:
    """Somebody who does what a document says, line by line.

    Args:
        folder: where they are.
        environment: of their shell; `export` changes it.
        terminals: keeps what runs beside the shell until it is closed.
    """

    def __init__(self, folder: Path, environment: dict[str, str], terminals: ExitStack) -> None:
        self.folder = folder
        self.environment = environment
        self.printed: dict[str, str] = {}
        self._terminals = terminals

    def follow(self, block: Block) -> None:
        if block.language == "toml":
            (self.folder / "job.toml").write_text(block.content, encoding="utf-8")
        elif block.language == "python":
            self.printed["python"] = self.run(sys.executable, "-c", block.content)
        elif block.commands != QUICK_START:  # those are what runs this very test
            for command in block.commands:
                self.enter(command)

    def enter(self, command: str) -> None:
        exported = re.fullmatch(r"export (\w+)=(\S+)", command)
        if exported:
            self.environment[exported[1]] = exported[2].replace("$PWD", str(self.folder))
        elif command.split()[:2] == ["versemill", "worker"]:
            self._terminals.enter_context(self._worker(command))
        else:
            self.printed[command] = self.run("sh", "-c", command)

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()

    @contextmanager
    def _worker(self, command: str) -> Iterator[None]:
        """In a terminal of its own; ends well when it is told to."""
        with started(
            ["sh", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stderr=subprocess.PIPE,
        ) as worker:
            deadline = time.monotonic() + 60
            while not json.loads(self.run("versemill", "workers", "--json")):
                assert worker.poll() is None, "the worker has ended"
                assert time.monotonic() < deadline, "no worker came up"
                time.sleep(0.2)
            yield
            worker.send_signal(signal.SIGTERM)
            _, complaint = worker.communicate(timeout=40)
            assert worker.returncode == 0, complaint.decode()
