"""When a text ends."""

from __future__ import annotations


class Lines:
    """Ends a text after so many lines that are not blank; 0 never ends it."""

    def __init__(self, prefix: str, limit: int) -> None:
        self.ended = False
        self._limit = limit
        *complete, self._current = prefix.split("\n")
        self._complete = sum(1 for line in complete if line.strip())

    def take(self, piece: str) -> str:
        """What of `piece` still belongs to the text."""
        if self.ended:
            return ""
        for at, character in enumerate(piece):
            if character != "\n":
                self._current += character
                continue
            self._complete += bool(self._current.strip())
            self._current = ""
            if self._limit and self._complete >= self._limit:
                self.ended = True
                return piece[:at]
        return piece
