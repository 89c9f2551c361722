"""Frequent beginnings of a text's lines: the prefixes of a job that was given none."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOKED_AT = 1_000_000  # characters; more would change little and take time
_LONGEST = 3  # characters, in scripts that put no blanks between words
_LONGEST_WORD = 20
_UNSPACED = {"CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}
"""How Unicode's names of their letters begin."""


def line_beginnings(text: str, count: int = 2) -> tuple[str, ...]:
    """Frequent beginnings of lines, the most frequent first; equal texts give equal ones.

    In scripts with spaces between words, a beginning is a line's first word. In Chinese and other
    scripts without spaces it is the first character. It is made longer, by the space or by up to
    two characters, while more than half of the lines with this beginning continue in the same way.
    Of equally frequent beginnings the earlier is taken. Lines that do not begin with a letter
    (quotes, numbers) count only if all lines are so.

    Args:
        text: with its line breaks; the first million characters are looked at.
        count: how many are wanted; there are fewer if all lines begin alike.

    Returns:
        Texts that differ in their first character or word; all their characters are in `text`.
    """
    lines = [line.strip() for line in text[:_LOOKED_AT].split("\n")]
    lines = [line for line in lines if line]
    alike: dict[str, list[str]] = defaultdict(list)
    for line in [line for line in lines if line[0].isalpha()] or lines:
        alike[_first_unit(line)].append(line)
    frequent = sorted(alike.items(), key=lambda unit: len(unit[1]), reverse=True)  # stable
    return tuple(_lengthened(unit, beginning_so) for unit, beginning_so in frequent[:count])


def _first_unit(line: str) -> str:
    """The first character, or the first word."""
    if _unspaced(line):
        return line[0]
    word = line.split(maxsplit=1)[0]
    return word if len(word) <= _LONGEST_WORD else word[:_LONGEST]


def _lengthened(beginning: str, lines: Sequence[str]) -> str:
    """Adds the next character while more than half of the lines have the same one."""
    longest = _LONGEST if _unspaced(beginning) else len(beginning) + 1
    fits = str.isalpha if _unspaced(beginning) else str.isspace
    while len(beginning) < longest:
        at, before = len(beginning), len(lines)
        following = Counter(line[at] for line in lines if fits(line[at : at + 1]))
        ((character, times),) = following.most_common(1) or (("", 0),)
        if 2 * times <= before:
            break
        beginning += character
        lines = [line for line in lines if line.startswith(beginning)]
    return beginning


def _unspaced(text: str) -> bool:
    return unicodedata.name(text[0], "").partition(" ")[0] in _UNSPACED
