"""The conformance suite of tokenizers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from versemill.plugins.contracts import TokenizerBounds
from versemill.plugins.estimates import asked
from versemill.testing.suite import Suite, require

if TYPE_CHECKING:
    from versemill.plugins.contracts import Tokenizer
    from versemill.plugins.registry import Kind

TEXT = "想要有直升机\n想要和你飞到宇宙去\nThe moon, the moon — naïve!\n\t终 & end\n"
STRANGE = "鱼𝄞Ω"


class TokenizerTests(Suite):
    """What every tokenizer must keep; subclass it and set `name`."""

    kind: ClassVar[Kind] = "tokenizer"

    def train(self, text: str = TEXT) -> Tokenizer:
        """A tokenizer of that text, with the suite's options."""
        registration = self.registration()
        tokenizer: Tokenizer = registration.load().train(
            text, registration.options_from(self.options)
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

    def test_unseen_characters_are_not_taken_for_others(self) -> None:
        """What the vocabulary lacks becomes `unknown_id` or is left out, never another text."""
        tokenizer = self.train()
        text = STRANGE + TEXT + STRANGE
        known = set(range(len(tokenizer.tokens))) - {tokenizer.unknown_id}
        back = tokenizer.decode([i for i in tokenizer.encode(text) if i in known])
        rest = iter(STRANGE + tokenizer.decode(tokenizer.encode(TEXT)) + STRANGE)
        require(
            all(character in rest for character in back),
            f"{text!r} came back as {back!r}, the unknown left out",
            why="figures are per character, and an unseen one taken for another costs too little",
            mend="keep no token for what stands in for other text, but unknown_id",
        )

    def test_the_estimate_bounds_it(self) -> None:
        """An estimate, where there is one, says no more tokens and no fewer ids than there are."""
        for text in (TEXT, TEXT[:1], TEXT[:1] * 40, TEXT[::-1] * 3):
            said = asked(self.selected(), TokenizerBounds, text)
            if said is None:
                return
            tokenizer = self.train(text)
            tokens, ids = len(tokenizer.tokens), len(tokenizer.encode(text))
            require(
                said.tokens_at_least <= tokens and ids <= said.ids_at_most,
                f"for {text!r:.40} the estimate says at least {said.tokens_at_least} tokens and at "
                f"most {said.ids_at_most} ids; there are {tokens}, and {ids}",
                why="jobs would be refused that can be trained",
                mend="say 1 token, and as many ids as there may be: bounds need not be close",
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
