"""The lines of `top` fit the terminal and tell what matters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from versemill.cli.terminal.tables import cell_width
from versemill.cli.terminal.top_screen import rows_wanted, top_lines
from versemill.jobs.devices import ANY_CPU, Device
from versemill.jobs.service.overview import DeviceInUse, Overview, QueueView
from versemill.jobs.states import Priority, Request, State
from versemill.jobs.views import JobView

if TYPE_CHECKING:
    from collections.abc import Sequence

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
JOB = JobView(
    id=7, name="晚安", owner="张三", state=State.RUNNING, state_shown="running",
    priority=Priority.NORMAL, request=Request.NONE, recipe="default", corpus="c", cell="gru",
    attempt=1, step=10, epoch=6, epochs=10, train_perplexity=None, valid_perplexity=None,
    characters_per_second=None, seconds_left=75.0, error=None, created_at=AT, finished_at=None,
    worker="w1",
)  # fmt: skip
WAITS = replace(
    JOB, id=8, state=State.QUEUED, state_shown="queued", priority=Priority.HIGH, position=4,
    reason="behind 3 jobs of 2 owners",
    expected_start=(AT + timedelta(seconds=65), AT + timedelta(seconds=160)),
)  # fmt: skip
GPU = Device(
    id="GPU-1", kind="gpu", name="NVIDIA H100 80GB HBM3", index=1, memory=80_000_000_000,
    free=20_000_000_000, max_jobs=4, utilisation=93,
)  # fmt: skip


def lines(
    *,
    devices: Sequence[Device] = (GPU, ANY_CPU),
    running: Sequence[JobView] = (JOB,),
    waiting: Sequence[JobView] = (WAITS,),
    width: int = 80,
    height: int = 24,
) -> list[str]:
    used = tuple(
        DeviceInUse(
            worker="a-worker-with-a-long-name",
            label="gpu-1" if d is GPU else "CPU",
            device=d,
            jobs=2,
            places=4,
            foreign=9_000_000_000 if d is GPU else 0,
        )
        for d in devices
    )
    now = Overview(workers=2, slots=8, busy=len(running), devices=used, running=tuple(running))
    queue = QueueView(waiting=len(waiting), first=tuple(waiting))
    rows = rows_wanted(height, len(used))
    return top_lines(now, queue, AT, width=width, rows=rows)


def test_devices_show_memory_and_utilisation() -> None:
    gpu = next(line for line in lines(width=200) if line.startswith("gpu-1"))
    assert "2 of 4 jobs" in gpu
    assert "████████··" in gpu  # three quarters, in tenths
    assert "60 GB of 80 GB" in gpu
    assert "93 %" in gpu
    assert "9 GB used outside the queue" in gpu


def test_running_jobs_show_progress() -> None:
    line = next(line for line in lines() if line.startswith("7 "))
    assert line.split() == ["7", "晚安", "张三", "█████·····", "epoch", "6/10", "1", "min", "15",
                            "s", "left", "w1"]  # fmt: skip


def test_waiting_jobs_show_place_start_and_reason() -> None:
    line = next(line for line in lines() if line.startswith("4."))
    assert line.split("  ") == [
        "4.", "8", "晚安", "张三", "high", "in 1-3 min", "behind 3 jobs of 2 owners",
    ]  # fmt: skip


def test_nothing_at_all_is_said() -> None:
    shown = lines(devices=(), running=(), waiting=())
    assert shown[1:] == ["DEVICES none", "RUNNING none", "QUEUE none"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 12), (20, 8), (200, 60)])
def test_it_fits_the_terminal(width: int, height: int) -> None:
    shown = lines(
        devices=[GPU] * 30,
        running=[replace(JOB, id=i, name="很长的名字" * 20) for i in range(100)],
        waiting=[replace(WAITS, position=i, reason="为什么" * 50) for i in range(1, 100)],
        width=width,
        height=height,
    )
    assert max(map(cell_width, shown)) <= width
    assert len(shown) <= max(height, 10)


def test_control_characters_of_names_are_not_passed_on() -> None:
    shown = lines(running=[replace(JOB, name="a\x1b[2Jb\nc")])
    assert not any("\x1b" in line or "\n" in line for line in shown)
