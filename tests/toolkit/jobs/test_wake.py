"""The Celery client: sends, and never delays or fails a submit."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from versemill.jobs import queue
from versemill.settings import Settings


def settings(broker_url: str) -> Settings:
    return replace(Settings.from_environment(), broker_url=broker_url)


def _send(broker_url: str) -> tuple[list[str], float]:
    warnings: list[str] = []
    send = queue.wake(settings(broker_url), warn=warnings.append)
    queue.app("memory://")  # the first import of Celery is not what is measured
    started = time.monotonic()
    send()
    return warnings, time.monotonic() - started


def test_embedded_has_nobody_to_tell() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_wake import *; "
        "queue.wake(settings('memory://'))(); print('celery' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "False\n"


def test_a_dead_broker_costs_a_warning() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    warnings, seconds = _send(f"redis://:hunter2@127.0.0.1:{port}/0")
    assert len(warnings) == 1
    assert f"redis://127.0.0.1:{port}" in warnings[0]
    assert "hunter2" not in warnings[0]
    assert seconds < 3


def test_a_broker_that_never_answers_costs_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        warnings, seconds = _send(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
    assert len(warnings) == 1
    assert seconds < 4


@pytest.mark.parametrize("url", ["nonsense://host", "redis://host:notaport/0"])
def test_a_malformed_url_costs_a_warning(url: str) -> None:
    warnings, _ = _send(url)
    assert len(warnings) == 1


def test_one_message_is_sent(tmp_path: Path) -> None:
    for name in ("out", "control"):
        (tmp_path / name).mkdir()
    client = queue.app("filesystem://")
    options = {
        "data_folder_in": str(tmp_path / "out"),
        "data_folder_out": str(tmp_path / "out"),
        "control_folder": str(tmp_path / "control"),
    }
    with client.connection_for_write(transport_options=options) as connection:
        client.send_task(queue.TASK, connection=connection, retry=False)
    client.close()
    (message,) = (tmp_path / "out").iterdir()
    assert '"task": "versemill.work"' in message.read_text()
