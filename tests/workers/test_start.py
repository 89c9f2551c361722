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
from worker_cluster import ENDLESS, WAIT_SECONDS, Cluster

pytestmark = pytest.mark.timeout(400)


def fork_server(cluster: Cluster) -> tuple[psutil.Process, Path]:
    """The last worker's, and the socket at which it listens."""

    def find() -> tuple[psutil.Process, Path] | None:
        for child in psutil.Process(cluster.workers[-1].pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                for connection in child.net_connections(kind="unix"):
                    if "listener-" in str(connection.laddr):
                        return child, Path(str(connection.laddr))
        return None

    found: tuple[psutil.Process, Path] = cluster.until(find)
    return found


@pytest.fixture
def far_away(sqlite_cluster: Cluster) -> Path:
    """A temporary folder whose path is too long for a socket in it."""
    folder = sqlite_cluster.home / ("晨" * 50)
    folder.mkdir()
    sqlite_cluster.environment["TMPDIR"] = str(folder)
    assert len(bytes(folder)) > 110
    return folder


def test_a_temporary_folder_with_a_long_path(sqlite_cluster: Cluster, far_away: Path) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    worker = sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    server, socket = fork_server(sqlite_cluster)
    assert not socket.is_relative_to(far_away)
    assert trainer.environ()["TMPDIR"] == str(far_away), "for all else it is the one to use"

    server.kill()
    trainer.kill()  # the next attempt needs another fork server
    sqlite_cluster.until(lambda: sqlite_cluster.job(job).attempt > 1)
    sqlite_cluster.until_training(job)
    other, other_socket = fork_server(sqlite_cluster)
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
    with pytest.raises(VersemillError, match=said), start._short_temporary_folder():
        pass


def assert_nothing_is_left(cluster: Cluster) -> None:
    assert cluster.workers[-1].wait(WAIT_SECONDS) == 0, cluster.log()
    assert service.live_workers(cluster.store) == []
    spool = cluster.home / "spool"
    assert not spool.exists() or list(spool.iterdir()) == []
    assert "Traceback" not in cluster.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("broker_url", ["memory://", "redis://127.0.0.1:{port}/0"])
def test_a_signal_to_a_worker_that_is_starting(
    sqlite_cluster: Cluster, number: signal.Signals, broker_url: str
) -> None:
    sqlite_cluster.environment["VERSEMILL_BROKER_URL"] = broker_url.format(port=free_port())
    worker = sqlite_cluster.start_worker()
    sqlite_cluster.until(lambda: service.live_workers(sqlite_cluster.store))
    worker.send_signal(number)
    assert_nothing_is_left(sqlite_cluster)


def test_the_parent_ends_while_the_worker_is_starting(sqlite_cluster: Cluster) -> None:
    worker = sqlite_cluster.start_worker("--end-with-parent", stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.close()
    assert_nothing_is_left(sqlite_cluster)


TWO_SIGNALS = """
import os, signal, threading
from versemill_workers.start import _install_signal_handlers

told = threading.Event()
_install_signal_handlers(told)
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
