"""`top` prints once, or shows everything live until q is pressed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def test_it_prints_once(command: Any, queue: Any) -> None:
    said = command("top", "--once")
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()] == [
        "versemill", "DEVICES", "RUNNING", "QUEUE",
    ]  # fmt: skip
    assert "0 of 0 slots busy, 0 waiting" in said.out


def test_a_waiting_job_says_why(command: Any, queue: Any) -> None:
    queue.submit("one")
    said = command("top")  # the output is no terminal
    assert "no worker is running" in said.out
    assert "one" in said.out


@pytest.mark.parametrize("by_key", [True, False])
def test_it_is_live_until_q_or_ctrl_c(home: Path, *, by_key: bool) -> None:
    import pty

    outer, inner = pty.openpty()
    live = subprocess.Popen(
        [sys.executable, "-m", "versemill", "top"],
        stdin=inner, stdout=inner, stderr=inner, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(inner)
    try:
        _read_until(outer, b"QUEUE none")
        if by_key:
            os.write(outer, b"q")
        else:
            live.send_signal(signal.SIGINT)
        _read_until(outer, b"\x1b[?1049l")  # back to the ordinary screen
        assert live.wait(30) == 0
    finally:
        live.kill()
        live.wait()
        os.close(outer)


def _read_until(number: int, wanted: bytes, *, seconds: float = 60.0) -> None:
    found, end = b"", time.monotonic() + seconds
    while wanted not in found:
        left = end - time.monotonic()
        assert left > 0, f"{wanted!r} did not come: {found[-500:]!r}"
        if select.select([number], [], [], left)[0]:
            found += os.read(number, 65536)
