"""The conformance suite of tokenizers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from versemill.testing.suite import Suite, require

if TYPE_CHECKING:
    from versemill.plugins.contracts import Tokenizer
    from versemill.plugins.registry import Kind

TEXT = "想要有直升机\n想要和你飞到宇宙去\nThe moon, the moon — naïve!\n\t终 & end\n"
STRANGE = "鱼𝄞Ω"


class TokenizerTests(Suite):
    """What every tokenizer must keep; subclass it and set `name`."""

    kind: ClassVar[Kind] = "tokenizer"

    def train(self) -> Tokenizer:
        """A tokenizer of TEXT, with the suite's options."""
        registration = self.registration()
        tokenizer: Tokenizer = registration.load().train(
            TEXT, registration.options_from(self.options)
        )
        return tokenizer

    def test_text_comes_back(self) -> None:
        """What is encoded and decoded is the same text."""
        tokenizer = self.train()
        back = tokenizer.decode(tokenizer.encode(TEXT))
        require(
            back == TEXT,
            f"{TEXT!r} came back as {back!r}",
            why="lyrics are decoded ids",
            mend="lose nothing in encode: case, spaces and line ends are text",
        )

    def test_ids_are_in_range(self) -> None:
        """All ids, of text never seen too, are below the number of tokens."""
        tokenizer = self.train()
        ids = tokenizer.encode(TEXT + STRANGE)
        require(
            all(0 <= i < len(tokenizer.tokens) for i in ids),
            f"ids go from {min(ids)} to {max(ids)} with {len(tokenizer.tokens)} tokens",
            why="an id is a row of the embedding",
            mend="turn what is not in the vocabulary into unknown_id, or leave it out",
        )

    def test_json_comes_back(self) -> None:
        """`from_json(to_json())`, through JSON text, encodes and decodes the same."""
        tokenizer = self.train()
        again = type(tokenizer).from_json(json.loads(json.dumps(tokenizer.to_json())))
        ids = tokenizer.encode(TEXT)
        require(
            again.encode(TEXT) == ids and list(again.tokens) == list(tokenizer.tokens),
            "a tokenizer rebuilt from its JSON encodes otherwise",
            why="a checkpoint holds the tokenizer as JSON",
            mend="put all that encode needs into to_json; JSON has no sets, tuples or int keys",
        )

    def test_it_is_deterministic(self) -> None:
        """Training twice on the same text gives the same ids."""
        first, second = self.train(), self.train()
        require(
            list(first.tokens) == list(second.tokens),
            "the same text gave two vocabularies",
            why="equal jobs must have equal ids",
            mend="sort the vocabulary; sets have no order",
        )
