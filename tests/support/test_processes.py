"""The check of started processes itself, on a test session of its own with bad tests in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest

BAD_TESTS = """
import pathlib, subprocess, sys, time
import pytest
from processes import started

NESTED = 'sleep 600 & echo $! > "$1.part"; mv "$1.part" "$1"; exec sleep "$2"'

HELPER = "# from multiprocessing.forkserver import main\\nimport time; time.sleep(600)"

def nested(name, seconds):
    return ["/bin/sh", "-c", NESTED, "sh", name, str(seconds)]

def until(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.01)

def test_signals():
    status = pathlib.Path("/proc/self/status")
    told = subprocess.run(["cat", status], capture_output=True, text=True).stdout
    pathlib.Path("signals").write_text(told)

def test_orphan():
    subprocess.run(nested("orphan", 0), check=True)

def test_fails():
    with started(nested("fails", 600)):
        until("fails")
        raise ValueError

@pytest.mark.timeout(1)
def test_hangs():
    with started(nested("hangs", 600)) as process:
        until("hangs")
        process.wait()

@pytest.mark.timeout(1)
def test_hangs_in_run():
    subprocess.run(nested("hangs_in_run", 600))

def test_orphaned_helper():
    orphaned = '"$@" & echo $! > orphaned_helper'
    subprocess.run(["/bin/sh", "-c", orphaned, "sh", sys.executable, "-c", HELPER], check=True)

@pytest.fixture(scope="module")
def shared():
    with started(["sleep", "600"]) as process:
        yield process

def test_held(shared):
    pathlib.Path("held").write_text(str(shared.pid))

def test_still_held(shared):
    assert shared.poll() is None
"""
IGNORING = "trap '' HUP INT QUIT TERM; exec \"$@\""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the tests above were run, by a parent that ignores signals."""
    folder = tmp_path_factory.mktemp("session")
    (folder / "test_bad.py").write_text(BAD_TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [
        *("/bin/sh", "-c", IGNORING, "sh", sys.executable, "-m", "pytest", "-p", "process_check"),
        *("-p", "no:cacheprovider", "-p", "no:xdist", "--timeout-method=signal"),
        *("--override-ini=process_grace_seconds=0.3", "--junit-xml=report.xml"),
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return folder


def message(session: Path, test: str) -> str:
    """What the report says of a test that failed, and of its end."""
    cases = ET.parse(session / "report.xml").iter("testcase")
    parts = [part for case in cases if case.get("name") == test for part in case]
    return " ".join(f"{part.tag}: {part.get('message')}" for part in parts)


def test_what_is_started_ignores_and_blocks_nothing(session: Path) -> None:
    lines = (session / "signals").read_text().splitlines()
    status = dict(line.split(":\t") for line in lines if line.startswith("Sig"))
    # The C library keeps signals 32 and 33 for itself, and Python can neither set nor reset them.
    settable = sum(1 << (number - 1) for number in signal.valid_signals())
    assert int(status["SigIgn"], 16) & settable == 0
    assert int(status["SigBlk"], 16) & settable == 0


def test_one_that_leaves_a_process_behind_fails(session: Path) -> None:
    assert "left behind, and ended now: " in message(session, "test_orphan")
    assert (session / "orphan").read_text().strip() in message(session, "test_orphan")


@pytest.mark.parametrize(
    ("test", "words"),
    [("fails", "ValueError"), ("hangs", "Timeout"), ("hangs_in_run", "Timeout")],
)
def test_one_that_fails_or_hangs_says_why(session: Path, test: str, words: str) -> None:
    assert words in message(session, f"test_{test}")


@pytest.mark.parametrize(
    "test", ["orphan", "orphaned_helper", "fails", "hangs", "hangs_in_run", "held"]
)
def test_no_process_outlives_the_session(session: Path, test: str) -> None:
    assert not psutil.pid_exists(int((session / test).read_text()))


def test_a_multiprocessing_helper_left_behind_is_ended_and_not_reported(session: Path) -> None:
    assert message(session, "test_orphaned_helper") == ""


def test_what_a_fixture_holds_outlasts_a_test(session: Path) -> None:
    assert message(session, "test_held") == message(session, "test_still_held") == ""
