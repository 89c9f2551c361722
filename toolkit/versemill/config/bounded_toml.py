"""Parses TOML that is not trusted: size and depth are checked before.

The memory of the standard library's parser grows with the square of the parts of a key, and the
parser calls itself for each nested list or table.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_BYTES = 1_000_000
"""Largest job file, or value."""

MOST_PARTS = 16
"""Most parts of a dotted key; a job file needs two."""

DEEPEST = 16
"""Most levels of lists and tables; a job file needs two."""

_TOKEN = re.compile(
    r"""
    (?P<skipped> [ \t]++ | \#[^\n]*+ )
    | (?P<part> [A-Za-z0-9_+-]++
        | \"\"\" (?: [^"\\] | \\. | "(?!"") )*+ (?: "{3,5} | \Z )
        | ''' (?: [^'] | '(?!'') )*+ (?: '{3,5} | \Z )
        | " (?: [^"\\\n] | \\. )*+ (?: "|\n|\Z )
        | ' [^'\n]*+ (?: '|\n|\Z )
      )
    | (?P<dot> \. )
    | (?P<open> [\[{] )
    | (?P<close> [\]}] )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)


class BoundError(ValueError):
    """It is too large or too deep."""


def parsed(text: str) -> dict[str, Any]:
    """The table that a TOML text describes.

    Raises:
        BoundError: it is too large or too deep.
        ValueError: it is not TOML.
    """
    if len(text) > MOST_BYTES:
        raise BoundError(f"it has more than {MOST_BYTES:,} characters")
    _refuse_depth(text)
    return tomllib.loads(text)


def _refuse_depth(text: str) -> None:
    """Raises `BoundError`; reads each character once."""
    depth = parts = 0
    dotted = False  # whether a dot stands right before
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "skipped":
            continue
        if kind == "part":
            parts = parts + 1 if dotted else 1
        elif kind != "dot":
            parts = 0
        dotted = kind == "dot"
        depth = max(0, depth + (kind == "open") - (kind == "close"))
        if depth > DEEPEST:
            raise BoundError(f"it has more than {DEEPEST} levels of lists or tables")
        if parts > MOST_PARTS:
            raise BoundError(f"a key has more than {MOST_PARTS} parts")
