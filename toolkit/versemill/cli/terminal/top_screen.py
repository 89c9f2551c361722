"""What `top` shows, as text that fits a terminal of any size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from versemill.cli.terminal.tables import cell_width, duration
from versemill.escaping import one_line
from versemill.jobs.devices import FOREIGN_BYTES, in_gigabytes
from versemill.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from versemill.jobs.service.overview import DeviceInUse, Overview, QueueView
    from versemill.jobs.views import JobView

_BAR = 10
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_LEAST_ROWS = 2
_HEADINGS = 4  # the first line, and one above each part


def rows_wanted(height: int, devices: int) -> tuple[int, int, int]:
    """How many devices, running jobs and waiting ones fit into so many lines."""
    room = max(3 * _LEAST_ROWS, height - _HEADINGS)
    shown = min(devices, max(_LEAST_ROWS, room // 4))
    left = room - shown
    running = max(_LEAST_ROWS, left // 3)
    return shown, running, max(_LEAST_ROWS, left - running)


def top_lines(
    now: Overview, queue: QueueView, at: datetime, *, width: int, rows: tuple[int, int, int]
) -> list[str]:
    """All lines, none wider than `width`.

    Args:
        now: devices and what runs.
        queue: what waits.
        at: the time.
        width: columns of the terminal.
        rows: how many devices, running and waiting jobs there is room for.
    """
    devices, running, waiting = rows
    lines = [
        f"versemill top  {at.astimezone():%H:%M:%S}  {counted(now.workers, 'worker')}, "
        f"{now.busy} of {counted(now.slots, 'slot')} busy, {queue.waiting:,} waiting; q ends"
    ]
    lines += _part("DEVICES", [_device(each) for each in now.devices], devices, len(now.devices))
    lines += _part("RUNNING", [_running(job) for job in now.running], running, now.busy)
    lines += _part("QUEUE", [_waiting(job, at) for job in queue.first], waiting, queue.waiting)
    return [fitted(line, width) for line in lines]


def fitted(line: str, width: int) -> str:
    """The line, or its beginning where it is wider than the terminal."""
    if cell_width(line) <= width:
        return line
    while cell_width(line) > width - 1:
        line = line[:-1]
    return f"{line}…"


def _part(title: str, rows: list[Sequence[str]], most: int, count: int) -> list[str]:
    """A heading, and columns of equal width; the last is as wide as it is."""
    shown = rows[:most]
    more = f" ({len(shown)} of {count:,})" if count > len(shown) else ""
    lines = [f"{title}{more}" if shown else f"{title} none"]
    widths = (
        [max(cell_width(row[i]) for row in shown) for i in range(len(shown[0]))] if shown else []
    )
    for row in shown:
        cells = [text + " " * (w - cell_width(text)) for text, w in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _device(each: DeviceInUse) -> Sequence[str]:
    device = each.device
    jobs = f"{each.jobs} of {counted(each.places, 'job')}"
    memory = used = ""
    if device.memory:
        taken = device.memory - (device.free or 0)
        memory = (
            f"{_bar(taken / device.memory)} {in_gigabytes(taken)} of {in_gigabytes(device.memory)}"
        )
    if device.utilisation is not None:
        used = f"{device.utilisation} %"
    others = ""
    if each.foreign >= FOREIGN_BYTES:
        others = f"{in_gigabytes(each.foreign)} used outside the queue"
    name = "" if device.index is None else _short(device.name, 20)
    return (each.label, jobs, memory, used, f"on {_short(each.worker, 14)}", name, others)


def _running(job: JobView) -> Sequence[str]:
    part = max(0, job.epoch - 1) / job.epochs if job.epochs else 0.0
    left = "" if job.seconds_left is None else f"{duration(job.seconds_left)} left"
    state = "" if job.state_shown == "running" else job.state_shown
    epoch = f"epoch {job.epoch}/{job.epochs}"
    where = _short(job.worker or "", 12)
    return (str(job.id), *_who(job), _bar(part), epoch, state or left, where)


def _waiting(job: JobView, at: datetime) -> Sequence[str]:
    place = "–" if job.position is None else f"{job.position:,}."
    priority = "" if job.priority == "normal" else job.priority.value
    return (place, str(job.id), *_who(job), priority, _start(job, at), job.reason or "")


def _start(job: JobView, at: datetime) -> str:
    """From when to when it may start, short: `1-3 min`."""
    if job.expected_start is None:
        return ""
    earliest, latest = ((each - at).total_seconds() for each in job.expected_start)
    unit, size = next((u, s) for u, s in _UNITS if latest >= 2 * s or s == 1)
    first, last = int(max(0.0, earliest) // size), math.ceil(max(1.0, latest) / size)
    return f"in {first}-{last} {unit}"


def _who(job: JobView) -> tuple[str, str]:
    return _short(job.name, 18), _short(job.owner, 10)


def _short(text: str, width: int) -> str:
    return fitted(one_line(text), width)


def _bar(part: float) -> str:
    full = round(_BAR * min(1.0, max(0.0, part)))
    return "█" * full + "·" * (_BAR - full)
