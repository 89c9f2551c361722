"""The conformance suite of corpora."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, ClassVar

from versemill.settings import Settings
from versemill.testing.suite import Suite, require
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from versemill.plugins.registry import Kind


class CorpusTests(Suite):
    """What every corpus must keep; subclass it and set `name`."""

    kind: ClassVar[Kind] = "corpus"

    def read(self) -> Text:
        """The corpus's text, with the suite's options."""
        registration = self.registration()
        text: Text = registration.load()(registration.options_from(self.options))
        return text

    def test_it_returns_a_text(self) -> None:
        """It returns a `versemill.text.corpus.Text` of strings."""
        text: object = self.read()
        songs: object = getattr(text, "songs", None)
        require(
            isinstance(text, Text)
            and isinstance(songs, tuple)
            and all(isinstance(song, str) for song in songs),
            f"it returned {type(text).__name__}, not a Text whose songs are a tuple of strings",
            why="the text is split, hashed and stored by its songs",
            mend="return Text((song, song, …)), or Text((text,)) without song boundaries",
        )

    def test_it_is_not_empty(self) -> None:
        """It has at least two characters, and no empty song."""
        songs = tuple(self.read().songs)
        require(
            sum(map(len, songs)) > 1 and all(songs),
            f"it has {sum(map(len, songs))} characters, and {songs.count('')} empty songs",
            why="there is nothing to predict in an empty text",
            mend="check the path that is read; leave out empty songs",
        )

    def test_it_is_deterministic(self) -> None:
        """Two calls return the same text, hence the same content hash."""
        first, second = tuple(self.read().songs), tuple(self.read().songs)
        require(
            first == second,
            "two calls returned different texts",
            why="a job is resumed and compared by the hash of its text",
            mend="no shuffling, no time, no listing of folders or sets without sorted()",
        )

    def test_it_can_be_stored(self) -> None:
        """It can be stored as UTF-8 and read back the same."""
        songs = tuple(self.read().songs)
        stored = None
        if not any("\x1e" in song or _has_surrogates(song) for song in songs):
            stored = Text.from_bytes(Text(songs).to_bytes()).songs
        require(
            stored == songs,
            "a song holds U+001E or half of a surrogate pair",
            why="songs are stored joined by U+001E, as UTF-8",
            mend="decode files with the encoding they have, and remove U+001E",
        )

    def test_it_is_within_the_limit(self) -> None:
        """It is not larger than the limit of this installation."""
        size = sum(len(song.encode(errors="replace")) for song in self.read().songs)
        limit = Settings.from_environment().corpus_limit
        require(
            size <= limit,
            f"it has {size:,} bytes; the limit is {limit:,}",
            why="a submit refuses a larger text",
            mend="return less, or raise VERSEMILL_CORPUS_LIMIT_MB on all machines",
        )

    def test_it_is_in_nfc(self) -> None:
        """It is in Unicode's composed form (NFC)."""
        require(
            all(unicodedata.is_normalized("NFC", song) for song in self.read().songs),
            "a song is not in NFC: some letters are written as two characters",
            why="the same letter would have two ids",
            mend='return unicodedata.normalize("NFC", text)',
        )

    def test_it_has_no_control_characters(self) -> None:
        """It has no control characters but line end and tab."""
        found = {c for song in self.read().songs for c in song if _controls(c)}
        require(
            not found,
            f"it holds {', '.join(f'U+{ord(c):04X}' for c in sorted(found)[:5])}",
            why="a model learns to write them, and they can control a terminal",
            mend=r"turn \r\n into \n, and remove the others (a byte order mark is U+FEFF)",
        )


def _controls(character: str) -> bool:
    # U+001E has a check of its own.
    if character == "\ufeff":
        return True
    return unicodedata.category(character) == "Cc" and character not in "\n\t\x1e"


def _has_surrogates(song: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in song)
