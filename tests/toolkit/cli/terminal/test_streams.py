"""Output that cannot be written: one line, exit code 1, and nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest

from command_line import TINY_OPTIONS, environment
from versemill.cli.program import program
from versemill.cli.terminal.streams import failing_output
from versemill.jobs import service
from versemill.jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRAINED = "小调"
LINES = {
    "submit": ["submit", "submit --json", "submit --follow"],
    "jobs": ["jobs", "jobs --json"],
    "show": [f"show {TRAINED}", f"show {TRAINED} --json"],
    "curve": [f"curve {TRAINED}", f"curve {TRAINED} --json"],
    "lyrics": [f"lyrics {TRAINED}", f"lyrics {TRAINED} --json"],
    "logs": [f"logs {TRAINED} --json"],
    # Some say on stderr what there is to say; then stdout does not matter.
    "workers": ["workers --json"],
    "worker drain": ["worker drain --help"],
    "generate": [
        f"generate {TRAINED}",
        f"generate {TRAINED} --json",
        f"generate {TRAINED} --count 2",
    ],
    "evaluate": [f"evaluate {TRAINED}", f"evaluate {TRAINED} --json"],
    "checkpoints list": [f"checkpoints list {TRAINED}", f"checkpoints list {TRAINED} --json"],
    "checkpoints export": ["checkpoints export --help"],
    "stats": ["stats", "stats --json"],
    "top": ["top --help"],
    "wait": [f"wait {TRAINED}"],
    "pause": ["pause queued"],
    "yield": ["yield running"],
    "resume": [f"resume {TRAINED} --epochs +1"],
    "cancel": ["cancel queued"],
    "retry": ["retry failed"],
    "rm": ["rm failed --yes"],
    "priority": ["priority queued high"],
    "users list": ["users list", "users list --json"],
    "users add": ["users add bob"],
    "users set": ["users set ann --role admin"],
    "users limit": ["users limit ann --running 3"],
    "users disable": ["users disable --help"],
    "users enable": ["users enable ann"],
    "reserve": ["reserve --help"],
    "reservations": ["reservations --json"],
    "reservations cancel": ["reservations cancel --help"],
    "notify add": ["notify add --help"],
    "notify list": ["notify list --json"],
    "notify remove": ["notify remove --help"],
    "notify test": ["notify test --help"],
    "corpora add": ["corpora add mine {folder}/song.txt"],
    "corpora list": ["corpora list", "corpora list --json"],
    "corpora remove": ["corpora remove stored"],
    "corpora show": ["corpora show starter-en", "corpora show starter-en --json"],
    "plugins check": ["plugins check --help"],
    "plugins list": ["plugins list", "plugins list --json"],
    "plugins new": ["plugins new cell versemill-quiet --into {folder}/new"],
    "db backup": ["db backup {folder}/backup.db"],
    "db copy-to": ["db copy-to --help"],
    "db status": ["db status", "db status --json"],
    "db upgrade": ["db upgrade"],
    "doctor": ["doctor", "doctor --json"],
    "run": ["run --help"],
    "demo": ["demo"],
    "verify-resume": ["verify-resume --help"],
    "worker": ["worker --help"],
}


def commands(group: click.Group, *path: str) -> Iterator[str]:
    """Every command that can be called."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from commands(found, *path, name)
            if not found.invoke_without_command:
                continue
        yield " ".join((*path, name))


def test_every_command_is_tried() -> None:
    assert sorted(LINES) == sorted(commands(program))


@pytest.fixture
def unwritten(command: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs a command whose standard output is open for reading only; returns its complaint."""
    descriptor = os.open(os.devnull, os.O_RDONLY)

    def run(*arguments: str) -> str:
        with monkeypatch.context() as changed:
            changed.setattr(sys, "stdout", failing_output(descriptor))
            done = command(*arguments)
        assert done.code == 1, done
        return str(done.complaint)

    yield run
    os.close(descriptor)


@pytest.fixture
def busy(trained: str, queue: Any, tmp_path: Path, command: Any) -> str:
    """An installation with a job in each state that commands want, a corpus, and a text."""
    queue.submit("queued")
    queue.running("running")
    failed = queue.running("failed")
    queue.finish(failed, State.FAILED, error="no reason")
    (tmp_path / "song.txt").write_text("小船摇呀摇\n摇到月亮桥\n" * 40)
    assert command("corpora", "add", "stored", tmp_path / "song.txt").code == 0
    return trained


@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
def test_a_command_whose_output_cannot_be_written(
    busy: str, unwritten: Any, tmp_path: Path, line: str
) -> None:
    message = unwritten(*line.format(folder=tmp_path).split())
    assert message.startswith("standard output cannot be written: it is closed")


def test_what_was_done_is_said_on_stderr(busy: str, unwritten: Any, command: Any) -> None:
    assert unwritten("pause", "queued").endswith("(queued) is paused")
    submitted = [unwritten("submit", *options) for options in ([], ["--json"])]
    newest = [f"{job['id']} ({job['name']})" for job in command("jobs", "--json").json[:2]]
    assert [message.rpartition("; submitted job ")[2] for message in submitted] == newest[::-1]


def process(home: Path, redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, started by a shell that redirects its output."""
    return subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m versemill "$@" {redirection}', sys.executable, *arguments],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("redirection", [">&-", ">&- <&-", "1</dev/null"])
def test_a_closed_output_is_no_success(home: Path, redirection: str) -> None:
    for arguments in (["corpora", "list"], ["jobs", "--json"], ["--version"], ["--help"]):
        done = process(home, redirection, *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("versemill: standard output cannot be written")
        assert done.stderr.count("\n") == 1


def test_without_stderr_the_exit_code_remains(home: Path) -> None:
    assert process(home, "2>&-", "jobs").returncode == 0
    assert process(home, "2>&-", "jobs", "--nonsense").returncode == 2
    assert process(home, ">&- 2>&-", "jobs", "--json").returncode == 1
    assert process(home, "2</dev/null", "show", "nobody").returncode == 1


@pytest.mark.slow
def test_a_run_is_paused_when_its_output_cannot_be_written(home: Path, queue: Any) -> None:
    endless = ("--set", "training.epochs=1000000")
    done = process(home, ">&-", "run", *TINY_OPTIONS, *endless, "--name", "unseen")
    assert done.returncode == 1
    assert done.stderr == (
        "versemill: standard output cannot be written: it is closed; "
        "job 1 (unseen) is paused; `versemill run 1` carries on\n"
    )
    assert service.find(queue.store, "unseen").state == "paused"


@pytest.mark.slow
def test_a_run_whose_reader_goes_away_is_paused(home: Path, queue: Any) -> None:
    endless = ("--set", "training.epochs=1000000", "--set", "training.report_every=1")
    done = process(home, "| head -n 1", "run", *TINY_OPTIONS, *endless, "--name", "unread")
    assert done.stdout == "job 1 (unread), 1,000,000 epochs\n"
    assert done.stderr.endswith("job 1 (unread) is paused; `versemill run 1` carries on\n")
    found = service.find(queue.store, "unread")
    assert found.state == "paused"
    assert found.step > 0
    assert service.details(queue.store, found.id).checkpoints
