"""The bundled collections of original lyrics, one song after each line `=== Title`."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from versemill.plugins import Text
from versemill.text.encodings import decode
from versemill.text.splitting import without_blank_edges

if TYPE_CHECKING:
    from versemill.plugins import NoOptions

TITLE_MARK = "=== "


def chinese(options: NoOptions) -> Text:
    """`starter-zh`: songs in Chinese, about love, trades, seasons and towns."""
    return _bundled("starter-zh.txt")


def english(options: NoOptions) -> Text:
    """`starter-en`: songs in English, most of them small stories."""
    return _bundled("starter-en.txt")


def titles_and_songs(collection: str) -> list[tuple[str, str]]:
    """Splits a collection at its title lines; text before the first title is left out."""
    _, *entries = f"\n{collection}".split(f"\n{TITLE_MARK}")
    pairs = (entry.partition("\n") for entry in entries)
    return [(title.strip(), without_blank_edges(song)) for title, _, song in pairs]


def _bundled(name: str) -> Text:
    data = (resources.files(__package__) / name).read_bytes()
    return Text(tuple(song for _, song in titles_and_songs(decode(data, name=name))))
