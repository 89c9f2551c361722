"""The built-in tokenizer: one id per character."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versemill.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from versemill_plugins.options import CharacterOptions

UNKNOWN = "<unk>"
REPLACEMENT = "\ufffd"  # what an unknown character looks like when decoded


class CharacterTokenizer:
    """One id per distinct character of the training text, in code-point order.

    Equal texts therefore have equal ids, on every run and machine. With `<unk>` (id 0) every text
    can be encoded; without it, characters outside the vocabulary are left out.
    """

    def __init__(self, characters: str, *, unknown: bool) -> None:
        self.tokens: Sequence[str] = ([UNKNOWN] if unknown else []) + list(characters)
        self.unknown_id = 0 if unknown else None
        self._characters = characters
        self._ids = {token: i for i, token in enumerate(self.tokens) if len(token) == 1}

    @classmethod
    def train(cls, text: str, options: CharacterOptions) -> CharacterTokenizer:
        """Builds the vocabulary of `text`, sorted."""
        return cls("".join(sorted(set(text))), unknown=options.unknown)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`."""
        if self.unknown_id is None:
            return [self._ids[c] for c in text if c in self._ids]
        get, unknown = self._ids.get, self.unknown_id
        return [get(c, unknown) for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; `<unk>` becomes U+FFFD."""
        return "".join(REPLACEMENT if i == self.unknown_id else self.tokens[i] for i in ids)

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as JSON."""
        return {"characters": self._characters, "unknown": self.unknown_id is not None}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CharacterTokenizer:
        """Rebuilds the tokenizer; raises `CheckpointError` for anything but a vocabulary."""
        characters, unknown = stored.get("characters"), stored.get("unknown")
        if not isinstance(characters, str) or not isinstance(unknown, bool):
            raise CheckpointError("the checkpoint's character vocabulary is malformed")
        return cls(characters, unknown=unknown)
