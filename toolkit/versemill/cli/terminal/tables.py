"""Text that lines up: tables, times, durations, figures, and JSON."""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from versemill.escaping import json_escaped, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
NONE = "–"


def cell_width(text: str) -> int:
    """Columns of a terminal that `text` takes: two for each wide (Chinese) character.

    Rich could say so too, but importing it costs more than the whole table.
    """
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:  # drawn onto the one before
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, right: str = "") -> str:
    """Columns padded to equal width, nothing ever cut off.

    Args:
        header: names of the columns.
        rows: one value per column; None is shown as a dash.
        right: names of the columns that are aligned to the right, separated by spaces.
    """
    lines = [list(header)]
    lines += [[NONE if value is None else one_line(value) for value in row] for row in rows]
    widths = [max(cell_width(line[i]) for line in lines) for i in range(len(header))]
    to_right = [name in right.split() for name in header]
    return "\n".join(
        "  ".join(
            _padded(value, width, to_right=r)
            for value, width, r in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in lines
    )


def _padded(text: str, width: int, *, to_right: bool) -> str:
    space = " " * (width - cell_width(text))
    return space + text if to_right else text + space


def ago(moment: datetime | None, *, now: datetime | None = None) -> str:
    """A time as people say it: `3 min ago`."""
    if moment is None:
        return NONE
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 1:  # also when this clock is behind the database's
        return "just now"
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def duration(seconds: float | None) -> str:
    """A duration with units: `42 s`, `1 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def _two(whole: int, size: int, unit: str, small: int, small_unit: str) -> str:
    rest = whole % size // small
    return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")


def perplexity(value: float | None) -> str:
    """A perplexity with as many digits as matter."""
    if value is None or not math.isfinite(value):
        return NONE
    if value < 10:  # noqa: PLR2004 - below ten the second decimal matters
        return f"{value:.2f}"
    return f"{value:,.1f}" if value < 1e6 else f"{value:.2e}"  # noqa: PLR2004


def speed(value: float | None) -> str:
    """Characters per second, without decimals."""
    return NONE if value is None or not math.isfinite(value) else f"{value:,.0f}"


def size(value: int) -> str:
    """Bytes as people read them."""
    return f"{value / 2**20:,.1f} MiB" if value >= 2**20 else f"{value / 2**10:,.1f} KiB"


def print_json(value: object) -> None:
    """JSON on stdout: UTF-8 whatever the terminal's encoding, never NaN, no control characters."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    click.echo(json_escaped(text).encode("utf-8", "replace"))
