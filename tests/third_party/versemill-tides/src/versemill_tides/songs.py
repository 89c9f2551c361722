"""Reads the packaged songs."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from versemill.plugins import Text

if TYPE_CHECKING:
    from versemill.plugins import NoOptions


def chinese(_options: NoOptions) -> Text:
    """The Chinese songs, in the order of their file."""
    return _read("tides-zh.txt")


def english(_options: NoOptions) -> Text:
    """The English songs, in the order of their file."""
    return _read("tides-en.txt")


def _read(name: str) -> Text:
    content = files("versemill_tides").joinpath(name).read_text(encoding="utf-8")
    return Text(tuple(f"{song.strip()}\n" for song in content.split("\n\n")))
