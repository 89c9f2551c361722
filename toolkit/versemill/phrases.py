"""How messages word counts, lists of names and values, whatever their size."""

from __future__ import annotations

import difflib
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMES_SHOWN = 20
"""Names of what exists that one message lists."""

_COMPARED = 1000  # names looked through for one that is near
_LONGEST = 100  # characters of a name that may be a misspelling
_VALUE_SHOWN = 200  # characters
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 epoch`, `2,000 epochs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str], most: int = NAMES_SHOWN) -> str:
    """The first few of `names`, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shortened, names[:most])) + more


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one; empty if none is near.

    What takes long is left out: names without measure, and more than a thousand of them.
    """
    if len(name) > _LONGEST:
        return ""

    def distance(other: str) -> tuple[bool, int]:
        return other[:1] != name[:1], abs(len(other) - len(name))

    short = (each for each in known if len(each) <= _LONGEST)
    candidates = heapq.nsmallest(_COMPARED, short, key=distance)
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def shortened(text: str, most: int = _VALUE_SHOWN) -> str:
    """The text, or its beginning where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[:most]}…"


def shown(value: object) -> str:
    """A value as a message shows it: `repr`, never much longer than 200 characters."""
    if isinstance(value, str):
        return repr(shortened(value))
    try:
        return shortened(repr(value))
    except ValueError:  # a whole number of thousands of digits
        return "a number without measure"


def exact_duration(seconds: float) -> str:
    """A length of time as it was given, to the second: `2 h`, `1 h 30 min`."""
    rest, parts = max(1, round(seconds)), []
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number:,} {unit}")
    return " ".join(parts)
