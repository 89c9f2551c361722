"""Workers that start in odd surroundings, and those told to end before they have started."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from servers import free_port
from versemill.errors import VersemillError
from versemill.jobs import service
from versemill_workers import start
from worker_stage import ENDLESS, PATIENCE, Stage

pytestmark = pytest.mark.timeout(400)


def fork_server(stage: Stage) -> tuple[psutil.Process, Path]:
    """The last worker's, and the socket at which it listens."""

    def find() -> tuple[psutil.Process, Path] | None:
        for child in psutil.Process(stage.workers[-1].pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                for connection in child.net_connections(kind="unix"):
                    if "listener-" in str(connection.laddr):
                        return child, Path(str(connection.laddr))
        return None

    found: tuple[psutil.Process, Path] = stage.until(find)
    return found


@pytest.fixture
def far_away(alone: Stage) -> Path:
    """A temporary folder whose path is too long for a socket in it."""
    folder = alone.home / ("晨" * 50)
    folder.mkdir()
    alone.environment["TMPDIR"] = str(folder)
    assert len(bytes(folder)) > 110
    return folder


def test_a_temporary_folder_with_a_long_path(alone: Stage, far_away: Path) -> None:
    job = alone.submit(**ENDLESS)
    worker = alone.start_worker()
    trainer = alone.until_training(job)
    server, socket = fork_server(alone)
    assert not socket.is_relative_to(far_away)
    assert trainer.environ()["TMPDIR"] == str(far_away), "for all else it is the one to use"

    server.kill()
    trainer.kill()  # the next attempt needs another fork server
    alone.until(lambda: alone.job(job).attempt > 1)
    alone.until_training(job)
    other, other_socket = fork_server(alone)
    assert other.pid != server.pid
    assert other_socket.parent == socket.parent

    worker.terminate()
    assert worker.wait(60) == 0
    assert not socket.parent.exists()
    assert list(far_away.iterdir()) == []


def test_no_temporary_folder_with_a_short_path(
    far_away: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start.tempfile, "tempdir", str(far_away))
    monkeypatch.setattr(start, "_SHORT", ("/nowhere", "/no/where"))
    said = r"at most 71 bytes\), and /nowhere and /no/where .*; set TMPDIR to a shorter one$"
    with pytest.raises(VersemillError, match=said), start._room_for_a_socket():
        pass


def assert_nothing_is_left(stage: Stage) -> None:
    assert stage.workers[-1].wait(PATIENCE) == 0, stage.log()
    assert service.live_workers(stage.store) == []
    spool = stage.home / "spool"
    assert not spool.exists() or list(spool.iterdir()) == []
    assert "Traceback" not in stage.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("broker_url", ["memory://", "redis://127.0.0.1:{port}/0"])
def test_a_signal_to_a_worker_that_is_starting(
    alone: Stage, number: signal.Signals, broker_url: str
) -> None:
    alone.environment["VERSEMILL_BROKER_URL"] = broker_url.format(port=free_port())
    worker = alone.start_worker()
    alone.until(lambda: service.live_workers(alone.store))
    worker.send_signal(number)
    assert_nothing_is_left(alone)


def test_a_tether_cut_while_the_worker_is_starting(alone: Stage) -> None:
    worker = alone.start_worker("--tethered", stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.close()
    assert_nothing_is_left(alone)


TWO_SIGNALS = """
import os, signal, threading
from versemill_workers.start import _note_signals

told = threading.Event()
_note_signals(told)
os.kill(os.getpid(), signal.SIGTERM)
print(told.is_set(), flush=True)
os.kill(os.getpid(), signal.SIGINT)
print("still there")
"""


def test_a_second_signal_to_a_worker_that_is_starting_ends_it_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_SIGNALS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "True\n", "")
