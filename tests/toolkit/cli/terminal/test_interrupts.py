"""Ctrl-C at any moment: exit code 130, no traceback, nothing lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from command_line import TINY_OPTIONS, environment, run_process
from processes import started
from versemill.jobs import service
from versemill.jobs.storage.unit_of_work import Store
from worker_cluster import SLOW_PLUGINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

START = "from versemill.cli import main; print('started', flush=True); main()"


@pytest.fixture
def start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command, whose interpreter is then known to have come up. It ends with the test."""
    monkeypatch.setenv("PYTHONPATH", str(SLOW_PLUGINS))
    with ExitStack() as commands:

        def start(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
            command = started(
                [*before, sys.executable, "-c", START, *arguments],
                env=environment(home),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            process = commands.enter_context(command)
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            return process

        yield start


def end(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.1, 0.2, 0.35, 0.6])
@pytest.mark.parametrize("arguments", [("submit", "--follow"), ("generate", "nobody")])
def test_ctrl_c_while_a_command_starts(start: Any, delay: float, arguments: Any) -> None:
    process = start(*arguments)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    # `generate nobody` may have failed by itself before the signal came.
    assert code == 130 or "no job named" in err
    assert "Traceback" not in err


def test_ctrl_c_while_following_leaves_the_job_alone(start: Any, queue: Any) -> None:
    process = start("submit", "--follow", "--name", "one")
    assert process.stdout is not None
    while "submitted" not in process.stdout.readline():
        pass
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    code, _, err = end(process)
    assert code == 130
    assert "goes on without you" in err
    assert service.find(queue.store, "one").state == "queued"


def test_an_interrupt_that_is_ignored_stays_ignored(start: Any) -> None:
    """Under nohup, or in the background of a script."""
    script = "trap '' INT; exec \"$@\""
    process = start("jobs", before=("/bin/sh", "-c", script, "sh"))
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 0


ENDLESS = ("training.epochs=100000", "training.report_every=100000", "training.patience=0",
           "sampler=slow")  # fmt: skip
LONG = (*TINY_OPTIONS, *(word for setting in ENDLESS for word in ("--set", setting)))


def wait_until(home: Path, *, step: int) -> None:
    deadline = time.monotonic() + 90
    store = Store.open(f"sqlite:///{home / 'versemill.db'}")
    try:
        while time.monotonic() < deadline:
            if any(job.step >= step for job in service.jobs(store)):
                return
            time.sleep(0.2)
    finally:
        store.close()
    raise AssertionError("the job has not come so far")


def children(home: Path) -> list[int]:
    """Processes of workers whose data is in `home`, the worker itself first."""
    found = []
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"VERSEMILL_HOME={home}\0".encode() in status.read_bytes():
                command = (status.parent / "cmdline").read_bytes()
                if b"versemill_workers" in command:
                    found.append(int(status.parent.name))
        except OSError:
            continue
    return sorted(found)


def test_ctrl_c_pauses_a_run_and_run_carries_it_on(start: Any, home: Path, queue: Any) -> None:
    process = start("run", "--name", "夜", *LONG)
    wait_until(home, step=20)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert code == 130, out + err
    assert "pausing: waiting for the checkpoint" in out
    assert "versemill run 1" in err
    job = service.find(queue.store, "夜")
    assert job.state == "paused"
    kept = service.details(queue.store, job.id).checkpoints
    assert kept[-1].step == job.step
    await_no_children(home)
    resumed = run_process(home, "run", "夜", "--epochs", str(job.epoch + 2))
    assert resumed.code == 0, resumed.out + resumed.err
    assert re.search(rf"resumed from step {job.step}\b", resumed.out)
    curve = service.curve(queue.store, job.id)
    assert [point.epoch for point in curve] == list(range(1, job.epoch + 3))


def test_a_second_ctrl_c_leaves_at_once_and_the_worker_hands_over(
    start: Any, home: Path, queue: Any
) -> None:
    process = start("run", "--name", "夜", *LONG)
    wait_until(home, step=20)
    (worker, *_) = children(home)
    with queue.store.unit_of_work():  # so that it is not frozen while it holds the database
        os.kill(worker, signal.SIGSTOP)  # so that no checkpoint comes
        await_stopped(worker)
    try:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        while "pausing" not in (line := process.stdout.readline()):
            assert line, "ended at the first Ctrl-C"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130  # waiting for the checkpoint would take 30 s
    finally:
        os.kill(worker, signal.SIGCONT)
    end(process)
    await_no_children(home)
    assert service.find(queue.store, "夜").state in {"paused", "queued"}


def test_the_worker_hands_over_when_the_command_is_killed(
    start: Any, home: Path, queue: Any
) -> None:
    process = start("run", "--name", "夜", *LONG)
    wait_until(home, step=20)
    process.kill()
    end(process)
    await_no_children(home)
    job = service.find(queue.store, "夜")
    assert job.state == "queued"
    assert service.details(queue.store, job.id).checkpoints


def test_ctrl_c_while_verifying_leaves_nothing(start: Any, home: Path, monkeypatch: Any) -> None:
    scratch = home.parent / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    process = start("verify-resume", *LONG)
    deadline = time.monotonic() + 90
    while not (made := list(scratch.glob("versemill-*"))) or not children(made[0]):
        assert process.poll() is None
        assert time.monotonic() < deadline, "no worker was started"
        time.sleep(0.2)
    wait_until(made[0], step=20)
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert (code, out, err) == (130, "", "")
    assert children(made[0]) == []
    assert list(scratch.glob("versemill-*")) == []


def await_stopped(pid: int) -> None:
    """Waits until every thread of the process stands still."""
    deadline = time.monotonic() + 60
    while not all(
        stat.read_text().rpartition(")")[2].split()[0] == "T"
        for stat in Path(f"/proc/{pid}/task").glob("*/stat")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def await_no_children(home: Path) -> None:
    deadline = time.monotonic() + 60
    while children(home):
        assert time.monotonic() < deadline, "the worker has not ended"
        time.sleep(0.2)
