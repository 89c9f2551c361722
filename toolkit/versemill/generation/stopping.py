"""When a text ends: after so many lines, or before a stop text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TextEnd:
    """Where one text ends. It is told of each piece as it is drawn, however pieces are cut.

    The text ends

    - with the line that makes its lines as many as `lines`, those of the prefix counted and blank
      ones not; a prefix that has so many complete lines gains nothing. The line's newline is left
      out. 0 sets no limit;
    - before the first of the `stop` texts that is written out; of several that are complete with
      the same character, before the one that begins first. Stop texts are looked for in what
      follows the prefix.

    Args:
        prefix: what the text begins with.
        lines: most lines that are not blank.
        stop: texts before which it ends, none of them empty.
    """

    def __init__(self, prefix: str, *, lines: int, stop: Sequence[str]) -> None:
        *complete, begun = prefix.split("\n")
        self._lines = lines
        self._complete = sum(1 for line in complete if line.strip())
        self._blank = not begun.strip()
        self._stops = [_StopText(text) for text in stop]
        self._held = ""
        self.ended = self._enough_lines()

    def take(self, piece: str) -> str:
        """What is sure to belong to the text, now that `piece` is drawn; nothing once it has ended.

        What may be the beginning of a stop text is held back until that is decided.
        """
        if self.ended:
            return ""
        if not self._lines and not self._stops:
            return piece
        sure = ""
        for character in piece:
            sure += self._add(character)
            if self.ended:
                break
        return sure

    def rest(self) -> str:
        """What is held back; to be asked for when no more is drawn."""
        held, self._held = self._held, ""
        return held

    def _add(self, character: str) -> str:
        found = [stop.length for stop in self._stops if stop.completed_by(character)]
        self._held += character
        if found:
            self.ended = True
            self._held = self._held[: -max(found)]
        elif character != "\n":
            self._blank = self._blank and character.isspace()
        else:
            self._complete += not self._blank
            self._blank = True
            if self._enough_lines():
                self.ended = True
                self._held = self._held[:-1]
        if self.ended:
            return self.rest()
        waiting = max((stop.begun for stop in self._stops), default=0)
        sure = self._held[: len(self._held) - waiting]
        self._held = self._held[len(sure) :]
        return sure

    def _enough_lines(self) -> bool:
        return 0 < self._lines <= self._complete


class _StopText:
    """Finds one text in a stream of characters, looking at each once.

    Source: D. E. Knuth, J. H. Morris and V. R. Pratt, "Fast pattern matching in strings", 1977.

    Attributes:
        length: of the text.
        begun: how many of its characters the stream ends with.
    """

    def __init__(self, text: str) -> None:
        self.length = len(text)
        self.begun = 0
        self._text = text
        self._shorter = [0]
        for character in text[1:]:
            self._shorter.append(self._after(self._shorter[-1], character))

    def completed_by(self, character: str) -> bool:
        """Whether the stream ends with the whole text, now that it has one more character."""
        self.begun = self._after(self.begun, character)
        return self.begun == self.length

    def _after(self, begun: int, character: str) -> int:
        """How many characters of the text a stream ends with that ended with `begun` of them."""
        while begun and self._text[begun] != character:
            begun = self._shorter[begun - 1]
        return begun + (self._text[begun] == character)
