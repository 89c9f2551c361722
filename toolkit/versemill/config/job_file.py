"""A job table as the text of a job file."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from versemill.config.recipes import SECTIONS, TOP_LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(table: Mapping[str, Any]) -> str:
    """The text that `bounded_toml.parsed` turns into `table` again.

    Values that are None are left out: TOML has none. Numbers keep every bit.
    """
    lines = [f"{key} = {_value(table[key])}" for key in TOP_LEVEL if table.get(key) is not None]
    for section in SECTIONS:
        values = table.get(section)
        if values:
            lines += ["", f"[{section}]", *_pairs(values)]
    return "\n".join(lines) + "\n"


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in values.items() if value is not None]


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else f"{'-' if value < 0 else ''}inf"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(_pairs(value))}}}"
    raise TypeError(f"a job file cannot hold a {type(value).__name__}")


def _text(value: str) -> str:
    """A basic string, in which whatever cannot be seen is an escape."""
    return "".join(_character(character) for character in value).join('""')


def _character(character: str) -> str:
    if character in {'"', "\\"}:
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\u{ord(character):04X}" if ord(character) < 0x10000 else f"\\U{ord(character):08X}"  # noqa: PLR2004
