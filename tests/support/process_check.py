"""A pytest plugin: no test leaves a process behind, also when it fails or times out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
import pytest

from processes import adopt_orphans, kill, left_behind, reset_signals

if TYPE_CHECKING:
    from collections.abc import Generator

GRACE = "process_grace_seconds"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(GRACE, "how long what is left after a test may take to end by itself", default=20)


def pytest_configure() -> None:
    reset_signals()
    adopt_orphans()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """A test that leaves a process behind fails; the process is ended."""
    yield
    deadline = time.monotonic() + float(item.config.getini(GRACE))
    while (left := left_behind()) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not left:
        return
    message = [_described(process) for process in left]
    while left:  # what they start meanwhile is found the next time
        kill(left)
        time.sleep(0.05)
        left = left_behind()
    pytest.fail(f"left behind, and ended now: {'; '.join(message)}", pytrace=False)


def _described(process: psutil.Process) -> str:
    try:
        return f"{process.pid} ({' '.join(process.cmdline())[:200]})"
    except psutil.NoSuchProcess:
        return str(process.pid)
