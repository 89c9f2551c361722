"""What a run tells is per character, whatever its tokenizer; what a checkpoint keeps is per id."""

from __future__ import annotations

import itertools
import math
import random

import pytest

import pair_tokenizer
import versemill_plugins
from small_runs import config, plan, verse
from versemill.errors import CorpusError
from versemill.plugins.registry import Registry
from versemill.plugins.run_events import EpochReport, Progress
from versemill.text.splitting import Parts
from versemill.training.run import Training
from versemill.training.speed import Clock

REGISTRY = Registry([versemill_plugins, pair_tokenizer])
LETTERS = "abcdefghijklmnopqrst"
TOKENIZERS = ["char", "pair"]


def training(tokenizer: str, parts: Parts, **tables: object) -> Training:
    options = {"unknown": False} if tokenizer == "char" else {}
    job = config(tokenizer=tokenizer, tokenizer_options=options, registry=REGISTRY, **tables)
    return Training(parts, job, REGISTRY, plan=plan())


def reports(run: Training) -> list[EpochReport]:
    return [event for event in run if isinstance(event, EpochReport)]


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("versemill.training.speed._YIELD_SECONDS", -1.0)


def test_a_model_that_knows_nothing_has_the_perplexity_of_a_guess() -> None:
    # Every pair of twenty letters occurs: 20 characters, 400 pairs and <unk>.
    pairs = ["".join(pair) for pair in itertools.product(LETTERS, repeat=2)] * 2
    random.Random(3).shuffle(pairs)
    untrained = {
        "model": {"initialization": "normal"},
        "training": {"epochs": 1, "learning_rate": 1e-12, "optimizer": "sgd"},
    }
    message = {
        name: reports(training(name, Parts("".join(pairs)), **untrained))[0].train_perplexity
        for name in TOKENIZERS
    }
    assert message["char"] == pytest.approx(20, rel=0.002)
    assert message["pair"] == pytest.approx(math.sqrt(401), rel=0.002)


def test_the_same_text_gives_comparable_figures() -> None:
    parts = Parts(verse(1, 4000), (verse(2, 800),))
    trained = {
        name: reports(
            training(
                name,
                parts,
                model={"hidden_size": 24, "embedding_size": 16},
                training={"epochs": 4, "learning_rate": 0.02},
                prefixes=[],
            )
        )[-1]
        for name in TOKENIZERS
    }
    char, pair = trained["char"], trained["pair"]
    for one, other in (
        (char.train_perplexity, pair.train_perplexity),
        (char.valid_perplexity, pair.valid_perplexity),
        (pair.train_perplexity, pair.valid_perplexity),
    ):
        assert 1 / 1.5 < one / other < 1.5


def test_for_characters_the_figure_is_that_of_before_to_the_last_bit(every_step: None) -> None:
    run = training("char", Parts(verse(1, 300)), training={"epochs": 1}, prefixes=[])
    steps = [event for event in run if isinstance(event, Progress) and same_as_before(run, event)]
    assert len(steps) == 6


def same_as_before(run: Training, message: Progress) -> bool:
    return message.train_perplexity == math.exp(float(run.state().losses.mean()))


def test_a_checkpoint_keeps_nats_per_id(every_step: None) -> None:
    run = training("pair", Parts(verse(1, 601)), training={"epochs": 1}, prefixes=[])
    message = next(event for event in run if isinstance(event, Progress) and event.step == 3)
    losses = run.state().losses
    assert len(losses) == 3
    nats_per_character = float(losses.mean()) * 301 / 601
    assert message.train_perplexity == pytest.approx(math.exp(nats_per_character), rel=1e-12)


def test_speed_counts_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []
    monkeypatch.setattr(Clock, "trained", lambda clock, characters: steps.append(characters))
    for name in TOKENIZERS:
        reports(training(name, Parts(verse(1, 600)), training={"epochs": 1}, prefixes=[]))
    assert steps == [4 * 12] * 12 + [2 * 4 * 12] * 6


def test_a_text_too_short_is_told_in_both_units() -> None:
    with pytest.raises(CorpusError, match=r"has 60 characters in 30 ids, too few for one batch"):
        training("pair", Parts(verse(1, 60)))
