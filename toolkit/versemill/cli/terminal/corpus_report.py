"""What `corpora show` prints of a text: figures, its beginning, and what is odd about it."""

from __future__ import annotations

import shlex
import unicodedata
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from versemill.cli.terminal.advice import with_encoding_advice
from versemill.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.text.corpus import Text
    from versemill.text.inspection import Inspection, Oddity, Place

_SAMPLE_LINES = 8
_SAMPLE = 2000  # characters
_WIDEST = 100  # characters of a line of the sample
_FOUND_SHOWN = 8


def as_table(name: str, text: Text, found: Inspection) -> dict[str, Any]:
    """Everything, for JSON."""
    figures = asdict(found)
    return {
        "name": name,
        "characters": figures.pop("characters"),
        "distinct_characters": figures.pop("distinct_characters"),
        "bytes": figures.pop("size"),
        "songs": figures.pop("songs"),
        "lines": figures.pop("lines"),
        "content_hash": text.content_hash,
        "sample": text.songs[0][:_SAMPLE],
        "suspicious": [
            {
                **asdict(odd),
                "times": odd.times,
                "found": dict(odd.found),
                "mend": with_encoding_advice(odd),
            }
            for odd in found.oddities
        ],
        **{key: value for key, value in figures.items() if key != "oddities"},
    }


def report(name: str, text: Text, found: Inspection) -> Iterator[str]:
    """The lines to print."""
    from versemill.cli.terminal.tables import size

    yield (
        f"{name}: {counted(found.characters, 'character')} ({found.distinct_characters:,} "
        f"distinct), {size(found.size)}, {counted(found.lines, 'line')}, "
        f"{songs_shown(found.songs)}"
    )
    yield f"text hash {text.content_hash}"
    yield ""
    yield from _beginning(text.songs[0])
    yield ""
    yield "longest lines"
    for line in found.longest_lines:
        where = _where(line.place, found)
        more = "…" if line.characters > len(line.place.excerpt) else ""
        excerpt = _shown(line.place.excerpt) + more
        yield f"    {counted(line.characters, 'character')}, {where}: {excerpt}"
    yield from _repetition(found)
    yield from _separation(found)
    yield from _suspicions(found)


def songs_shown(count: int) -> str:
    """How many songs, where their boundaries are known."""
    return counted(count, "song") if count > 1 else "no song boundaries"


def _beginning(song: str) -> Iterator[str]:
    from versemill.cli.terminal.wording import indented

    lines = indented(song[:_SAMPLE])
    for line in lines[:_SAMPLE_LINES]:
        yield line if len(line) <= _WIDEST else f"{line[:_WIDEST]}…"
    if len(lines) > _SAMPLE_LINES or len(song) > _SAMPLE:
        yield "    …"


def _repetition(found: Inspection) -> Iterator[str]:
    if found.repeated_lines:
        share = found.repeated_lines / found.lines
        yield (
            f"lines that repeat an earlier one: {found.repeated_lines:,} ({share:.0%}); "
            "a chorus may do so, what was pasted twice should be deleted once"
        )
        for line in found.most_repeated:
            yield f"    {line.times:,} times: {_shown(line.text)}"
    if found.repeated_songs:
        yield (
            f"songs that repeat an earlier one: {found.repeated_songs:,}; they are learnt once "
            "only, and can be deleted"
        )


def _separation(found: Inspection) -> Iterator[str]:
    separator = found.likely_separator
    if separator is None:
        return
    line = f"lines of {_shown(separator)}" if separator else "blank lines"
    yield (
        f"likely separator: {line}, between {counted(found.pieces, 'piece')}; if these are songs, "
        f"add the text with --song-separator {shlex.quote(separator)}"
    )


def _suspicions(found: Inspection) -> Iterator[str]:
    if not found.oddities:
        yield "nothing suspicious"
    for odd in found.oddities:
        times = f"{odd.times:,} × " if odd.found else ""
        where = _where(odd.first, found)
        yield f"suspicious: {times}{odd.what}"
        if odd.found:
            yield f"    {_found(odd)}"
        yield f"    first in {where}: {_shown(odd.first.excerpt)}"
        yield f"    {with_encoding_advice(odd)}"


def _found(odd: Oddity) -> str:
    named = [f"{_named(piece)} {times:,} ×" for piece, times in odd.found[:_FOUND_SHOWN]]
    more = len(odd.found) - _FOUND_SHOWN
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")


def _named(piece: str) -> str:
    """A character by its number too: many of these cannot be seen."""
    if len(piece) > 1:
        return _shown(piece)
    number = f"U+{ord(piece):04X}"
    visible = unicodedata.category(piece)[0] not in "CZ"
    return f"{piece} ({number})" if visible else f"{number} {unicodedata.name(piece, '')}".rstrip()


def _where(place: Place, found: Inspection) -> str:
    return (
        f"song {place.song:,}, line {place.line:,}" if found.songs > 1 else f"line {place.line:,}"
    )


def _shown(excerpt: str) -> str:
    """On one line, with all that cannot be seen escaped, but for the wide space of Chinese."""
    return "".join(c if c.isprintable() or c == "\u3000" else ascii(c)[1:-1] for c in excerpt)
