"""Prepares a text: normalises it, separates songs, and splits it into training and held-out parts.

The split comes first; vocabulary, tokenizer and windows are then made from the training part only.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from versemill.errors import CorpusError, TextError
from versemill.normalisation import normalised
from versemill.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from versemill.text.corpus import Text
    from versemill.text.options import TextOptions

SONG_GAP = "\n\n\n"
"""Between songs that are joined: two blank lines, one more than between verses."""

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")

FEWEST_SONGS = 3
"""With fewer distinct songs the end of the text is held out, not whole songs."""

FEWEST_SONGS_FOR_TEST = 20
"""With this number of distinct songs or more there is a test part as well."""


@dataclass(frozen=True)
class Parts:
    """A prepared text, split.

    Attributes:
        training: the text that the model learns from.
        validation: independent segments, each scored from zero state; early stopping and the
            choice of the best checkpoint use them. Empty when nothing is held out.
        test: likewise, for the figure reported once. Empty if the corpus is too small for it.
        content_hash: of the whole text, as jobs have it; empty if these parts are not from one.
    """

    training: str
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    content_hash: str = field(default="", compare=False)


def without_blank_edges(text: str) -> str:
    """`text` without the blank lines before its first and after its last line that is not blank."""
    if not text.strip():
        return ""
    start = text.rfind("\n", 0, len(text) - len(text.lstrip())) + 1
    end = text.find("\n", len(text.rstrip()))
    return text[start:] if end < 0 else text[start:end]


def songs_between(text: str, separator: str) -> tuple[str, ...]:
    """The pieces of `text` between lines that equal `separator`, blank ones left out.

    White space at the end of lines, and of the separator, is ignored: `""` is a blank line.
    """
    separator = separator.rstrip()
    pieces: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line.startswith(separator) and line.rstrip() == separator:
            pieces.append([])
        else:
            pieces[-1].append(line)
    songs = (without_blank_edges("\n".join(piece)) for piece in pieces)
    return tuple(song for song in songs if song.strip())


def is_separated(text: str, separator: str) -> bool:
    """Whether `songs_between` finds a line that equals the separator.

    A blank line counts only between lines that are not blank.
    """
    separator = separator.rstrip()
    if not separator:
        return _BLANK_LINE.search(without_blank_edges(text)) is not None
    return any(
        line.startswith(separator) and line.rstrip() == separator for line in text.split("\n")
    )


def split(text: Text, options: TextOptions) -> Parts:
    """Prepares a corpus and splits it; the same text and options always give the same parts.

    - `first=N`: training is the first N characters of the joined songs, validation at most the
      next N; no test part.
    - Several songs: songs that differ in white space only count once. Whole songs are held out,
      in the order of the SHA-256 of each, so that the order of the songs in the corpus does not
      matter: for validation until they hold the share `holdout` of all characters, and from 20
      distinct songs on for test likewise. At least one song stays for training. The rest keeps
      its order, joined by two blank lines.
    - Otherwise (also with fewer than 3 distinct songs): validation is the tail, from character
      int((1 - holdout) · N) on; no test part.

    Args:
        text: what a corpus returned. Its songs are put in NFC first; `song_separator` applies
            only where their boundaries are not known yet.
        options: see `TextOptions`.

    Raises:
        CorpusError: nothing is left to train on.
    """
    songs = _songs(text, options.song_separator)
    if options.first is not None:
        parts = _first(SONG_GAP.join(songs), options.first, held_out=options.holdout > 0)
    elif len(songs) > 1:
        parts = _by_songs(_distinct(songs), options.holdout)
    else:
        parts = _by_tail(SONG_GAP.join(songs), options.holdout)
    if not parts.training.strip():
        raise CorpusError(
            f"the corpus has no text to train on ({counted(text.characters, 'character')}, first = "
            f"{options.first}, holdout = {options.holdout}); give a longer text"
        )
    if options.newlines == "space":
        parts = _in_one_line(parts)
    return replace(parts, content_hash=text.content_hash)


def _songs(text: Text, separator: str | None) -> tuple[str, ...]:
    try:
        songs = tuple(map(normalised, text.songs))
    except TextError as error:
        raise CorpusError(f"a song cannot be trained on: {error.reason}") from None
    if separator is not None and len(songs) == 1:
        found = songs_between(songs[0], normalised(separator))
        return found if len(found) > 1 else songs
    return songs


def _first(joined: str, first: int, *, held_out: bool) -> Parts:
    following = joined[first : 2 * first] if held_out else ""
    return Parts(joined[:first], _segments([following]))


def _by_tail(joined: str, holdout: float) -> Parts:
    cut = max(1, int((1 - holdout) * len(joined)))
    return Parts(joined[:cut], _segments([joined[cut:]]))


def _distinct(songs: Iterable[str]) -> list[str]:
    """One of each set of songs that differ in white space only, at the place of the first.

    Which one is kept depends on their hashes and not on their order.
    """
    kept: dict[str, str] = {}
    for song in songs:
        key = "".join(song.split())
        if key:
            kept[key] = min(kept.get(key, song), song, key=_hash)
    return list(kept.values())


def _by_songs(songs: Sequence[str], holdout: float) -> Parts:
    if len(songs) < FEWEST_SONGS:
        return _by_tail(SONG_GAP.join(songs), holdout)
    candidates = sorted(songs, key=_hash)[:-1]  # the last one always stays for training
    share = holdout * sum(map(len, songs))
    validation = _until(candidates, share)
    test: list[str] = []
    if len(songs) >= FEWEST_SONGS_FOR_TEST:
        test = _until(candidates[len(validation) :], share)
    held_out = {*validation, *test}
    training = SONG_GAP.join(song for song in songs if song not in held_out)
    return Parts(training, _segments(validation), _segments(test))


def _until(songs: Sequence[str], characters: float) -> list[str]:
    """The first songs, until they have this number of characters together."""
    taken: list[str] = []
    total = 0
    for song in songs:
        if total >= characters:
            break
        taken.append(song)
        total += len(song)
    return taken


def _segments(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


def _hash(song: str) -> str:
    return hashlib.sha256(song.encode()).hexdigest()


def _in_one_line(parts: Parts) -> Parts:
    return Parts(
        parts.training.replace("\n", " "),
        tuple(segment.replace("\n", " ") for segment in parts.validation),
        tuple(segment.replace("\n", " ") for segment in parts.test),
    )
