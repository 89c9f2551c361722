"""A plugin whose tokens all have two characters, for tests of units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versemill.plugins import TokenizerBounds, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from versemill.plugins import NoOptions, Registrar


@hookimpl
def versemill_register_tokenizers(register: Registrar) -> None:
    """Offers `pair`."""
    register("pair", ":PairTokenizer", summary="two characters a token", estimate=estimate)


def estimate(text: str, options: NoOptions) -> TokenizerBounds:
    """Exact: every two characters are a token."""
    pairs = cut(text)
    return TokenizerBounds(tokens_at_least=1 + len(set(pairs)), ids_at_most=len(pairs))


def cut(text: str) -> list[str]:
    """The text in pairs; a single last character is one too."""
    return [text[at : at + 2] for at in range(0, len(text), 2)]


class PairTokenizer:
    """Cuts a text into pairs from its beginning; a pair never seen is `<unk>`, id 0."""

    unknown_id = 0

    def __init__(self, pairs: Sequence[str]) -> None:
        self.tokens = ["<unk>", *pairs]
        self._ids = {pair: i for i, pair in enumerate(self.tokens) if i}

    @classmethod
    def train(cls, text: str, options: NoOptions) -> PairTokenizer:
        return cls(sorted(set(cut(text))))

    def encode(self, text: str) -> list[int]:
        return [self._ids.get(pair, self.unknown_id) for pair in cut(text)]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join("\ufffd" if i == self.unknown_id else self.tokens[i] for i in ids)

    def to_json(self) -> dict[str, Any]:
        return {"pairs": self.tokens[1:]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> PairTokenizer:
        return cls(stored["pairs"])
