"""The textbook's run from the command line, undisturbed and with its trainer killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from processes import started

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)

# The classic recipe with all its 250 epochs and five reports, on less text and a smaller network:
# the full size takes minutes and is measured in benchmarks/.
RUN = (
    *("run", "--recipe", "classic", "--cell", "rnn"),
    *("--set", "model.hidden_size=64", "--set", "corpus_options.first=4000"),
)


class Shell:
    """Commands in one installation."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment | {"VERSEMILL_CHECKPOINT_SECONDS": "1"}
        self.folder = folder

    def start(self, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
        return started(
            [sys.executable, "-m", "versemill", *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=300)
        assert process.returncode == code, output + errors
        return output

    def read(self, *arguments: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self.run(*arguments, "--json"))
        return found


@pytest.fixture
def shell(newcomer: dict[str, str], tmp_path: Path) -> Shell:
    return Shell(newcomer, tmp_path)


def test_reports_lyrics_and_picture_and_a_killed_trainer_makes_no_difference(shell: Shell) -> None:
    shell.run(*RUN, "--name", "textbook")
    assert_reports_lyrics_for_both_prefixes_and_a_picture(shell)
    with shell.start(*RUN, "--name", "disturbed") as running:
        trainer = _trainer_at_work(shell, running)
        trainer.kill()
        output, errors = running.communicate(timeout=300)
    assert running.returncode == 0, output + errors
    assert "killed by signal 9" in output
    assert "resumed from step" in output
    for name in ("textbook", "disturbed"):
        shell.run("checkpoints", "export", name, f"{name}.safetensors", "--at", "last")
    one, other = (
        (shell.folder / f"{name}.safetensors").read_bytes() for name in ("textbook", "disturbed")
    )
    assert one == other  # to the last bit
    curves = [_figures(shell.read("curve", name)) for name in ("textbook", "disturbed")]
    assert curves[0] == curves[1]


def assert_reports_lyrics_for_both_prefixes_and_a_picture(shell: Shell) -> None:
    (job,) = shell.read("jobs")
    assert (job["name"], job["state"], job["cell"]) == ("textbook", "succeeded", "rnn")
    curve = shell.read("curve", "textbook")
    assert [point["epoch"] for point in curve] == list(range(1, 251))
    measured = [point["epoch"] for point in curve if point["valid_perplexity"] is not None]
    assert measured == [50, 100, 150, 200, 250]
    lyrics = shell.read("lyrics", "textbook")
    assert [lyric["prefix"] for lyric in lyrics] == ["分开", "不分开"] * 5
    assert all(len(str(v["text"])) == len(str(v["prefix"])) + 50 for v in lyrics if v["text"])
    shell.run("curve", "textbook", "--png", "curve.png")
    assert (shell.folder / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def _trainer_at_work(shell: Shell, running: subprocess.Popen[str]) -> psutil.Process:
    """The trainer process of a running command, once a checkpoint of it is stored."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if shell.read("jobs")[0]["state"] == "running" and shell.read(
            "checkpoints", "list", "@last"
        ):
            # command → worker → fork server → trainer
            for worker in psutil.Process(running.pid).children():
                for server in worker.children():
                    for trainer in server.children():
                        return trainer
        time.sleep(0.1)
    raise AssertionError("no checkpoint in two minutes")


def _figures(curve: list[dict[str, object]]) -> list[tuple[object, ...]]:
    names = ("epoch", "step", "train_perplexity", "valid_perplexity")
    return [tuple(point[name] for name in names) for point in curve]
