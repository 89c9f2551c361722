"""Held-out figures, against a loop that scores one character at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from pair_tokenizer import PairTokenizer, cut
from small_runs import REGISTRY, config, verse
from versemill.errors import CorpusError
from versemill.evaluation.perplexity import (
    CODE_POINTS,
    HeldOut,
    evaluate,
    evaluation,
    primer_id,
    unseen_share,
)
from versemill.nn.network import LanguageModel, build_model
from versemill.plugins import NoOptions
from versemill.plugins.selection import Selection
from versemill_plugins.options import CharacterOptions
from versemill_plugins.tokenizers.char import CharacterTokenizer

if TYPE_CHECKING:
    from versemill.plugins import Tokenizer

SEEN = "abcdefg \n"
UNSEEN = 0.03


def tokenizer(*, unknown: bool, seen: str = SEEN) -> CharacterTokenizer:
    return CharacterTokenizer.train(seen, CharacterOptions(unknown=unknown))


def model_for(tokens: Tokenizer, *, scale: float = 3) -> LanguageModel:
    job = config(cell="lstm", model={"layers": 2})
    model = build_model(Selection(job, REGISTRY), len(tokens.tokens)).double()
    with torch.no_grad():  # far from uniform, so that every character counts
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def naive(
    model: LanguageModel, tokens: CharacterTokenizer, segments: list[str]
) -> tuple[float, float]:
    """Nats per character and share of unknown ones, character by character."""
    ids = {c: i for i, c in enumerate(tokens.tokens) if len(c) == 1}
    nats, characters, unknown = 0.0, 0, 0
    with torch.no_grad():
        for segment in segments:
            states = model.initial_state(1)
            last = ids["\n"]
            for character in segment:
                characters += 1
                if character not in ids:
                    unknown += 1
                    nats += math.log(CODE_POINTS - len(ids))
                    if tokens.unknown_id is None:
                        nats -= math.log(UNSEEN)
                        continue
                y, states = model(torch.tensor([[last]]), states)
                last = ids.get(character, tokens.unknown_id)
                nats -= float(model.logits(y[0]).log_softmax(dim=1)[0, last])
                if tokens.unknown_id is None:
                    nats -= math.log(1 - UNSEEN)
    return nats / characters, unknown / characters


def measured(
    model: LanguageModel,
    tokens: Tokenizer,
    segments: list[str],
    *,
    parallel: bool = False,
) -> HeldOut:
    return evaluate(model, tokens, segments, part="test", unseen=UNSEEN, parallel=parallel)


@pytest.mark.parametrize("unknown", [True, False])
@pytest.mark.parametrize(
    "segments",
    [
        ["a"],
        ["gabc\nfed"],
        ["z"],
        ["abzc 分d"],
        [verse(3, 300)],  # longer than a chunk
        ["abc", "分", "", verse(4, 150), "zz", "gfedcba" * 5],
        ["cab"] * 40,  # more than run side by side
    ],
    ids=["one", "seen", "unseen", "both", "long", "songs", "many"],
)
@pytest.mark.parametrize("parallel", [False, True])
def test_figures_equal_those_of_the_loop(
    unknown: bool, segments: list[str], parallel: bool
) -> None:
    tokens = tokenizer(unknown=unknown)
    model = model_for(tokens)
    nats, share = naive(model, tokens, segments)
    figures = measured(model, tokens, segments, parallel=parallel)
    assert figures.nats_per_character == pytest.approx(nats, rel=1e-10)
    assert figures.unknown_share == pytest.approx(share)
    assert figures.characters == sum(map(len, segments))
    assert figures.bits_per_character == pytest.approx(nats / math.log(2), rel=1e-10)
    assert figures.perplexity == pytest.approx(math.exp(nats), rel=1e-8)


@pytest.mark.parametrize("unknown", [True, False])
def test_the_probabilities_of_all_characters_sum_to_one(unknown: bool) -> None:
    tokens = tokenizer(unknown=unknown)
    model = model_for(tokens)

    def probability(character: str) -> float:
        figures = measured(model, tokens, [character])
        return math.exp(-figures.nats_per_character)

    total = sum(map(probability, SEEN))
    others = CODE_POINTS - len(SEEN)
    assert total + others * probability("分") == pytest.approx(1, abs=1e-10)


def naive_in_pairs(model: LanguageModel, tokens: PairTokenizer, text: str) -> float:
    """Nats of a text, pair by pair; an unknown pair is said once and both characters spelled."""
    nats, states, last = 0.0, model.initial_state(1), tokens.unknown_id
    alone = sum(len(token) == 1 for token in tokens.tokens)
    with torch.no_grad():
        for pair in cut(text):
            y, states = model(torch.tensor([[last]]), states)
            (last,) = tokens.encode(pair)
            nats -= float(model.logits(y[0]).log_softmax(dim=1)[0, last])
            if last == tokens.unknown_id:
                nats += len(pair) * math.log(CODE_POINTS - alone)
    return nats


@pytest.mark.parametrize("text", ["abcdef", "abzzcd", "zz", "abcdz", "acab分", verse(3, 300)])
def test_tokens_of_two_characters_are_counted_by_characters(text: str) -> None:
    tokens = PairTokenizer.train("abcdefghg", NoOptions())  # the last token is a single one
    model = model_for(tokens)
    figures = measured(model, tokens, [text])
    unknown = sum(len(pair) for pair in cut(text) if pair not in tokens.tokens)
    assert figures.characters == len(text)
    assert figures.unknown_share == pytest.approx(unknown / len(text))
    nats = naive_in_pairs(model, tokens, text)
    assert figures.nats_per_character * len(text) == pytest.approx(nats, rel=1e-10)


def test_streams_side_by_side_give_nearly_the_same_figure() -> None:
    tokens = tokenizer(unknown=True, seen=verse(1, 300))
    model = model_for(tokens, scale=1.5)  # one that forgets
    text = [verse(5, 5_000)]
    exact = measured(model, tokens, text).nats_per_character
    parallel = measured(model, tokens, text, parallel=True)
    assert parallel.nats_per_character == pytest.approx(exact, rel=1e-6)
    assert parallel.nats_per_character != exact  # or it was no test
    assert parallel.characters == 5_000


def test_songs_do_not_know_of_each_other() -> None:
    tokens = tokenizer(unknown=True)
    model = model_for(tokens)
    songs = ["abc", "gfe dcb", "分a"]
    together = measured(model, tokens, songs)
    alone = [measured(model, tokens, [song]) for song in songs]
    total = sum(f.nats_per_character * f.characters for f in alone)
    assert together.nats_per_character * together.characters == pytest.approx(total, rel=1e-12)


def test_nothing_held_out_is_refused() -> None:
    tokens = tokenizer(unknown=True)
    with pytest.raises(CorpusError, match=r"no test text.*corpus_options\.holdout"):
        measured(model_for(tokens), tokens, ["", ""])


def test_scoring_leaves_the_callers_gradients_on_between_chunks() -> None:
    tokens = tokenizer(unknown=True)
    model = model_for(tokens)
    steps = evaluation(model, tokens, [verse(1, 600)], part="test", unseen=UNSEEN)
    next(steps)
    assert torch.is_grad_enabled()


def test_a_hopeless_model_has_a_finite_perplexity() -> None:
    tokens = tokenizer(unknown=True)
    model = model_for(tokens)
    with torch.no_grad():
        model.output_bias[tokens.encode("a")] = -1e6
    figures = measured(model, tokens, ["a"])
    assert figures.nats_per_character > 900_000
    assert math.isfinite(figures.perplexity)


@pytest.mark.parametrize(
    ("seen", "unknown", "primer"),
    [("ab \n", True, "\n"), ("ab ", True, " "), ("ab", True, "\ufffd"), ("ab", False, "a")],
)
def test_the_primer_is_a_newline_where_there_is_one(seen: str, unknown: bool, primer: str) -> None:
    tokens = tokenizer(unknown=unknown, seen=seen)
    assert tokens.decode([primer_id(tokens)]) == primer


@pytest.mark.parametrize(
    ("ids", "share"),
    [
        ([1, 1, 2, 3], 2 / 4),  # Good and Turing: those that occur once
        ([1, 1, 2, 2], 1 / 5),
        ([1, 2, 3], 1 / 4),  # not 1: something must be left for what was seen
        ([1] * 9 + [2], 1 / 10),
    ],
)
def test_the_share_of_the_unseen_is_good_and_turings(ids: list[int], share: float) -> None:
    assert unseen_share(ids) == pytest.approx(share)
