"""TOML from strangers: size and depth are bounded before it is parsed.

The standard library's parser takes memory that grows with the square of a key's parts, and calls
itself for each list or table in another.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_BYTES = 1_000_000
"""Of a job file, or of one value."""

MOST_PARTS = 16
"""Of a dotted key; a job file needs two."""

DEEPEST = 16
"""Lists and tables in one another; a job file needs two."""

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
    """It is larger or deeper than is read."""


def parsed(text: str) -> dict[str, Any]:
    """The table that TOML stands for.

    Raises:
        BoundError: it is too large or too deep.
        ValueError: it is not TOML.
    """
    if len(text) > MOST_BYTES:
        raise BoundError(f"it has more than {MOST_BYTES:,} characters")
    _refuse_depth(text)
    return tomllib.loads(text)


def _refuse_depth(text: str) -> None:
    """Raises `BoundError`; looks at each character once."""
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
            raise BoundError(f"more than {DEEPEST} lists or tables stand in one another")
        if parts > MOST_PARTS:
            raise BoundError(f"a key has more than {MOST_PARTS} parts")
