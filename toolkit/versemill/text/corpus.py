"""A corpus's text, in songs where their boundaries are known, and its stored form."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from versemill.errors import CorpusError

SONG_MARK = "\x1e"  # ASCII record separator: stands between songs in a stored text


@dataclass(frozen=True)
class Text:
    """A corpus's text before any preparation.

    Attributes:
        songs: the pieces whose boundaries are known; exactly one when none are.
    """

    songs: tuple[str, ...]

    @property
    def segmented(self) -> bool:
        """Whether song boundaries are known."""
        return len(self.songs) > 1

    @property
    def characters(self) -> int:
        """Number of characters in all songs."""
        return sum(map(len, self.songs))

    @property
    def content_hash(self) -> str:
        """SHA-256 of the stored form: equal texts have equal hashes on every machine."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The stored form: UTF-8, songs joined by U+001E.

        Raises:
            CorpusError: a song holds U+001E itself, and would silently become two.
        """
        if any(SONG_MARK in song for song in self.songs):
            raise CorpusError("a song holds the control character U+001E; remove it")
        return SONG_MARK.join(self.songs).encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> Text:
        """Inverse of `to_bytes`."""
        return cls(tuple(stored.decode().split(SONG_MARK)))
