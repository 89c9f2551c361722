"""When a text ends: after a number of lines, or before a stop text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TextEnd:
    """Decides where one text ends. It gets each piece when it is drawn; pieces may have any length.

    The text ends

    - after `lines` lines. Lines of the prefix count, blank lines do not. Nothing is added to a
      prefix that already has this number of complete lines. The newline of the last line is left
      out. 0 sets no limit;
    - before the first complete `stop` text after the prefix. If several are complete with the same
      character, it ends before the one that begins first.

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
        """The characters that certainly belong to the text after `piece`; none once it has ended.

        Characters that may begin a stop text are held back until this is decided.
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
        """The characters held back; call it when no more is drawn."""
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
