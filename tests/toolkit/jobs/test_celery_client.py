"""The Celery client: sends, and never delays or fails a submit."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import pytest

from servers import Valkey
from versemill.jobs import celery_client
from versemill.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def settings(broker_url: str) -> Settings:
    return replace(Settings.from_environment(), broker_url=broker_url)


def _send(broker_url: str) -> tuple[list[str], float]:
    send = celery_client.wake(settings(broker_url))
    celery_client.app("redis://")  # importing Celery and its client is not what is measured
    started = time.monotonic()
    trouble = send()
    return [str(trouble)] if trouble else [], time.monotonic() - started


def test_an_embedded_installation_sends_no_message() -> None:
    script = """
import sys
from dataclasses import replace
from versemill.jobs import celery_client
from versemill.settings import Settings
celery_client.wake(replace(Settings.from_environment(), broker_url="memory://"))()
print("celery" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
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


def _trickle(listener: socket.socket) -> None:
    """Answers a byte now and then: each is in time, all of it never is."""
    with listener.accept()[0] as client, suppress(OSError):
        while True:
            client.sendall(b"x")
            time.sleep(0.3)


@pytest.mark.parametrize("answer", [None, _trickle], ids=["nothing", "a trickle"])
def test_a_broker_that_never_answers_costs_a_second(
    answer: Callable[[socket.socket], None] | None,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if answer:
            threading.Thread(target=answer, args=(listener,), daemon=True).start()
        warnings, seconds = _send(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
    (warning,) = warnings
    assert "did not answer" in warning
    assert seconds < 3


def test_a_host_whose_name_is_looked_up_for_ever_costs_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking_up = threading.Event()

    def look_up(*_: object, **__: object) -> NoReturn:
        looking_up.wait(30)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    (warning,), seconds = _send("redis://broker.example/0")
    looking_up.set()
    assert "nothing for 1.5 s" in warning
    assert seconds < 3


def test_a_host_nobody_knows_is_named() -> None:
    (warning,), _ = _send("redis://:hunter2@no-such-host.invalid/0")
    assert "no-such-host.invalid" in warning
    assert "hunter2" not in warning


def test_a_wrong_password_is_said_but_not_shown(tmp_path: Path) -> None:
    with Valkey(tmp_path, password="swordfish") as server:
        (warning,), _ = _send(f"redis://:hunter2@127.0.0.1:{server.port}/0")
    assert "invalid username-password pair" in warning
    assert "hunter2" not in warning


MALFORMED = [
    "nonsense://:hunter2@host",
    "redis://host:notaport/0",
    "redis://:hun/ter2@host/0",  # port hun, as it stands
    "redis://:12/hunter2@host/0",  # port 12, database hunter2@host
    "redis://host/0?password=hunter2",
]


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_costs_a_warning(url: str) -> None:
    (warning,), _ = _send(url)
    assert "VERSEMILL_BROKER_URL" in warning
    assert "redis://:password@host:6379/0" in warning
    assert "hun" not in warning
    assert "ter2" not in warning


def test_one_small_message_is_sent(redis: Valkey) -> None:
    assert _send(redis.url)[0] == []
    client = redis.client()
    (message,) = client.lrange(celery_client.QUEUE, 0, -1)
    client.close()
    assert b'"task": "versemill.work"' in message
    assert b"application/json" in message
    assert len(message) < 2000
