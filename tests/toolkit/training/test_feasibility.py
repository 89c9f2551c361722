"""What is refused before it waits, by the figures that the plugins themselves give."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pair_tokenizer
import versemill_plugins
from third_party_plugins import third_party
from versemill.config.job import JobConfig, ModelOptions, TrainingOptions
from versemill.errors import ConfigError, CorpusError, NotEnoughMemoryError
from versemill.nn.network import build_model
from versemill.plugins import CellSize
from versemill.plugins.registry import Registry
from versemill.plugins.selection import Selection
from versemill.settings import physical_memory
from versemill.text.corpus import Text
from versemill.text.options import TextOptions
from versemill.training.feasibility import check, estimate_memory, fewest_ids

REGISTRY = Registry(
    [
        versemill_plugins,
        pair_tokenizer,
        third_party("cell", "silent"),
        third_party("cell", "growing", estimate=lambda E, H, options: sized(2 * E)),
        third_party("cell", "narrowing", estimate=lambda E, H, options: sized(E // 2)),
        third_party("sampler", "sliding"),
        third_party("tokenizer", "bpe"),
    ]
)


def sized(output_size: int) -> CellSize:
    return CellSize(parameters=100 * output_size, activations=output_size, output_size=output_size)


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


def chosen(job: JobConfig) -> Selection:
    return Selection(job, REGISTRY)


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
    needed = fewest_ids(chosen(job))
    sampler_class = REGISTRY.find("sampler", sampler).load()
    assert sampler_class(needed, batch_size, window).steps == 1
    assert sampler_class(needed - 1, batch_size, window).steps == 0


def test_a_text_one_character_too_short_is_refused() -> None:
    check(Text(("ab" * 22,)), chosen(CONFIG))
    with pytest.raises(CorpusError, match=r"43 characters, but.*batch_size = 4.*at least 44"):
        check(Text(("ab" * 21 + "a",)), chosen(CONFIG))


def test_a_text_is_measured_in_the_ids_of_its_tokenizer() -> None:
    pairs = config(tokenizer="pair")
    check(Text(("ab" * 44,)), chosen(pairs))
    with pytest.raises(CorpusError, match=r"86 characters, which make at most 43 ids, but.* 44"):
        check(Text(("ab" * 43,)), chosen(pairs))


def test_only_training_text_counts() -> None:
    held_out = config(text=TextOptions(holdout=0.5))
    with pytest.raises(CorpusError, match="30 characters"):
        check(Text(("ab" * 30,)), chosen(held_out))


def test_a_sampler_without_an_estimate_may_overlap_its_windows() -> None:
    check(Text(("ab" * 10,)), chosen(config(sampler="sliding")))
    with pytest.raises(CorpusError, match="at least 11"):
        check(Text(("ab" * 5,)), chosen(config(sampler="sliding")))


def test_a_tokenizer_without_an_estimate_is_left_to_the_trainer() -> None:
    check(Text(("ab",)), chosen(config(tokenizer="bpe")))


def test_a_cell_without_an_estimate_may_be_as_small_as_it_likes() -> None:
    large = config(model=ModelOptions(hidden_size=200_000, tied=True))
    with pytest.raises(NotEnoughMemoryError):
        check(Text(("ab" * 22,)), chosen(large), memory=GIB)
    check(Text(("ab" * 22,)), chosen(replace(large, cell="silent")), memory=GIB)


@pytest.mark.parametrize(("cell", "widths"), [("growing", [16, 32, 64]), ("narrowing", [4, 2, 1])])
def test_each_layer_reads_what_the_one_below_puts_out(cell: str, widths: list[int]) -> None:
    model = ModelOptions(hidden_size=99, layers=3, embedding_size=8)
    estimate = estimate_memory(chosen(config(cell=cell, model=model)), 5)
    network = 5 * 8 + 5 * widths[-1] + 5  # embedding, output weights and bias
    assert estimate.parameters == 16 * (network + 100 * sum(widths))
    assert estimate.activations == 4 * 4 * 10 * (5 + sum(widths))


def test_plain_gradient_descent_needs_no_moments() -> None:
    adamw, sgd = (
        estimate_memory(chosen(config(training=TrainingOptions(optimizer=name))), 50)
        for name in ("adamw", "sgd")
    )
    assert adamw.parameters == 2 * sgd.parameters


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    "model",
    [
        ModelOptions(hidden_size=30, layers=1, embedding_size=20),
        ModelOptions(hidden_size=30, layers=3, embedding_size=0),
        ModelOptions(hidden_size=20, layers=4, embedding_size=20, tied=True),
        ModelOptions(hidden_size=30, layers=2, embedding_size=20, tied=True),
    ],
)
def test_parameters_are_those_of_the_network(cell: str, model: ModelOptions) -> None:
    job = config(cell=cell, model=model)
    network = build_model(chosen(job), 50)
    real = 16 * sum(parameter.numel() for parameter in network.parameters())
    assert estimate_memory(chosen(job), 50).parameters == real


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
        check(Text(("ab" * 10**6,)), chosen(config(model=model, training=training)), memory=GIB)
    assert refused.value.field == field


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_absurd_sizes_are_estimated_at_once(hidden_size: int, layers: int) -> None:
    job = config(model=ModelOptions(hidden_size=hidden_size, layers=layers))
    assert estimate_memory(chosen(job), 100).total > 0


def test_usual_jobs_fit() -> None:
    check(Text(("ab" * 1000,)), chosen(CONFIG), memory=GIB)


def test_this_machine_has_memory() -> None:
    memory = physical_memory()
    assert memory is not None
    assert memory > 2**28
