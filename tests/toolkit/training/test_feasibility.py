from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.config.job import JobConfig, ModelOptions, TrainingOptions
from versemill.errors import ConfigError, CorpusError
from versemill.nn.network import build_model
from versemill.plugins.registry import Registry
from versemill.settings import physical_memory
from versemill.text.corpus import Text
from versemill.text.options import TextOptions
from versemill.training.feasibility import (
    check,
    estimate_memory,
    fewest_characters,
)

CONFIG = JobConfig(
    recipe="default",
    corpus="x",
    cell="gru",
    sampler="consecutive",
    tokenizer="char",
    prefixes=(),
    text=TextOptions(holdout=0),
    training=TrainingOptions(batch_size=4, window=10),
)
GIB = 2**30


def config(**changed: object) -> JobConfig:
    return replace(CONFIG, **changed)  # type: ignore[arg-type]


@given(
    sampler=st.sampled_from(["consecutive", "random"]),
    batch_size=st.integers(1, 40),
    window=st.integers(1, 40),
)
def test_the_limit_is_exactly_that_of_the_samplers(
    sampler: str, batch_size: int, window: int
) -> None:
    job = config(sampler=sampler, training=TrainingOptions(batch_size=batch_size, window=window))
    needed = fewest_characters(job)
    sampler_class = Registry.discover().find("sampler", sampler).load()
    assert sampler_class(needed, batch_size, window).steps == 1
    assert sampler_class(needed - 1, batch_size, window).steps == 0


def test_a_text_one_character_too_short_is_refused() -> None:
    check(Text(("ab" * 22,)), CONFIG)
    with pytest.raises(CorpusError, match=r"43 characters.*batch_size = 4.*at least 44"):
        check(Text(("ab" * 21 + "a",)), CONFIG)


def test_only_training_text_counts() -> None:
    held_out = config(text=TextOptions(holdout=0.5))
    with pytest.raises(CorpusError, match="30 characters"):
        check(Text(("ab" * 30,)), held_out)


def test_an_unknown_sampler_may_overlap_its_windows() -> None:
    check(Text(("ab" * 10,)), config(sampler="sliding"))
    with pytest.raises(CorpusError, match="at least 11"):
        check(Text(("ab" * 5,)), config(sampler="sliding"))


def test_other_tokenizers_are_left_to_the_trainer() -> None:
    check(Text(("ab",)), config(tokenizer="bpe"))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    "model",
    [
        ModelOptions(hidden_size=30, layers=1, embedding_size=20),
        ModelOptions(hidden_size=30, layers=3, embedding_size=0),
        ModelOptions(hidden_size=20, layers=4, embedding_size=20, tied=True),
    ],
)
def test_parameters_are_estimated_from_below_and_closely(cell: str, model: ModelOptions) -> None:
    job = config(cell=cell, model=model)
    network = build_model(job, 50, Registry.discover())
    real = 16 * sum(parameter.numel() for parameter in network.parameters())
    estimate = estimate_memory(job, 50).parameters
    assert 0.85 * real < estimate <= real


@pytest.mark.parametrize(
    ("model", "training", "field"),
    [
        (ModelOptions(hidden_size=200_000), CONFIG.training, "model.hidden_size"),
        (ModelOptions(embedding_size=10**10), CONFIG.training, "model.embedding_size"),
        (ModelOptions(layers=10**7), CONFIG.training, "model.layers"),
        (ModelOptions(), TrainingOptions(batch_size=10**6, window=1), "training.batch_size"),
        (ModelOptions(), TrainingOptions(batch_size=1, window=10**6), "training.window"),
    ],
)
def test_what_needs_most_memory_is_blamed(
    model: ModelOptions, training: TrainingOptions, field: str
) -> None:
    with pytest.raises(ConfigError, match=r"GiB.*this machine has 1\.0 GiB") as refused:
        check(Text(("ab" * 10**6,)), config(model=model, training=training), memory=GIB)
    assert refused.value.field == field


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_absurd_sizes_are_estimated_at_once(hidden_size: int, layers: int) -> None:
    job = config(model=ModelOptions(hidden_size=hidden_size, layers=layers))
    assert estimate_memory(job, 100).total > 0


def test_usual_jobs_fit() -> None:
    check(Text(("ab" * 1000,)), CONFIG, memory=GIB)


def test_this_machine_has_memory() -> None:
    memory = physical_memory()
    assert memory is not None
    assert memory > 2**28
