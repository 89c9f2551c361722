"""The built-in decoder stages. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import versemill_plugins
from versemill.errors import UnknownNameError
from versemill.plugins import ConfigError
from versemill.plugins.registry import Registry
from versemill.plugins.selection import from_spec

REGISTRY = Registry([versemill_plugins])
NO_HISTORY = torch.zeros(1, 0, dtype=torch.int64)
STAGES = [
    "greedy",
    "temperature=0",
    "temperature=1e-40",
    "temperature=0.5",
    "temperature=2",
    "top-k=2",
    "top-p=0.6",
    "repetition-penalty=1.5",
]
# Coarse values, so that ties come up often; minus infinity, as an earlier stage leaves it.
scores = st.lists(
    st.one_of(st.integers(-8, 8).map(lambda n: n / 2), st.just(-math.inf)),
    min_size=1,
    max_size=12,
).filter(lambda row: max(row) > -math.inf)


def stage(spec: str):
    selected = from_spec("decoder", spec, REGISTRY)
    return selected.load()(**selected.options)


def row(values: list[float]) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def kept(logits_BV: torch.Tensor) -> list[int]:
    return (logits_BV[0] > -math.inf).nonzero().flatten().tolist()


def test_greedy_leaves_the_best() -> None:
    logits = torch.tensor([[0.1, 3.0, 2.9], [5.0, -1.0, 4.9]])
    assert stage("greedy")(logits, NO_HISTORY).softmax(dim=1).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_greedy_takes_the_lowest_id_of_a_tie() -> None:
    assert kept(stage("greedy")(row([1.0, 2.0, 2.0, 2.0]), NO_HISTORY)) == [1]


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_temperature_scales_the_distribution(temperature: float) -> None:
    logits = row([0.3, -1.2, 2.0, 0.0])
    weights = (logits.softmax(dim=1) ** (1 / temperature))[0]
    changed = stage(f"temperature={temperature}")(logits, NO_HISTORY).softmax(dim=1)[0]
    torch.testing.assert_close(changed, weights / weights.sum())


@given(scores)
def test_temperature_zero_is_greedy(values: list[float]) -> None:
    changed = stage("temperature=0")(row(values), NO_HISTORY)
    assert torch.equal(changed, stage("greedy")(row(values), NO_HISTORY))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_smallest_temperatures_leave_the_best(dtype: torch.dtype) -> None:
    for value in ("1e-3", "1e-30", "1e-300", "5e-324"):
        logits = torch.tensor([[0.5, 3.0, 2.5, -math.inf]], dtype=dtype)
        probability = stage(f"temperature={value}")(logits, NO_HISTORY).softmax(dim=1)
        assert probability[0].tolist() == pytest.approx([0, 1, 0, 0])


def test_draws_follow_the_temperature() -> None:
    changed = stage("temperature=0.5")(row([0.0, 0.5, 1.0]), NO_HISTORY)
    draws = 20_000
    drawn = torch.multinomial(
        changed.softmax(dim=1)[0],
        draws,
        replacement=True,
        generator=torch.Generator().manual_seed(11),
    )
    weights = [math.exp(x / 0.5) for x in (0.0, 0.5, 1.0)]
    for share, weight in zip(drawn.bincount(minlength=3) / draws, weights, strict=True):
        expected = weight / sum(weights)
        tolerance = 4 * math.sqrt(expected * (1 - expected) / draws)  # four standard deviations
        assert abs(float(share) - expected) < tolerance


@given(scores, st.integers(1, 15))
def test_top_k_keeps_exactly_k(values: list[float], k: int) -> None:
    logits = row(values)
    left = kept(stage(f"top-k={k}")(logits, NO_HISTORY))
    finite = [x for x in values if x > -math.inf]
    assert len(left) == min(k, len(finite))
    assert sorted(values[i] for i in left) == sorted(finite)[-len(left) :]


@given(scores, st.floats(0.01, 1))
def test_top_p_keeps_the_smallest_set_that_reaches_p(values: list[float], p: float) -> None:
    probability = row(values).softmax(dim=1)[0]
    left = kept(stage(f"top-p={p}")(row(values), NO_HISTORY))
    total = float(probability[left].sum())
    assert total >= p - 1e-12
    assert total - float(probability[left].min()) < p + 1e-12
    out = [x for i, x in enumerate(values) if i not in left]
    assert max(out, default=-math.inf) <= min(values[i] for i in left)


def test_top_p_keeps_the_best_even_above_p() -> None:
    assert kept(stage("top-p=0.01")(row([0.0, 9.0, 0.0]), NO_HISTORY)) == [1]


def test_repetition_penalty_lowers_recent_ids_only() -> None:
    logits = row([1.0, 2.0, -1.0, 0.5])
    history = torch.tensor([[0, 3, 2, 2]])
    before = logits.log_softmax(dim=1)[0]
    after = stage("repetition-penalty:penalty=1.5,window=3")(logits, history)[0]
    torch.testing.assert_close(after[[0, 1]], before[[0, 1]])
    torch.testing.assert_close(after[[2, 3]], 1.5 * before[[2, 3]])


def test_repetition_penalty_of_one_changes_nothing() -> None:
    logits = row([1.0, 2.0, -1.0])
    changed = stage("repetition-penalty=1")(logits, torch.tensor([[0, 1]]))
    torch.testing.assert_close(changed.softmax(dim=1), logits.softmax(dim=1))


def test_repetition_penalty_looks_at_each_row_alone() -> None:
    logits = torch.zeros(2, 3)
    changed = stage("repetition-penalty=2")(logits, torch.tensor([[0, 0], [2, 2]]))
    assert changed.argmin(dim=1).tolist() == [0, 2]


def test_repetition_penalty_without_a_history_changes_nothing() -> None:
    logits = row([1.0, 2.0])
    changed = stage("repetition-penalty=2")(logits, NO_HISTORY)
    torch.testing.assert_close(changed.softmax(dim=1), logits.softmax(dim=1))


@pytest.mark.parametrize("spec", STAGES)
@given(values=scores, data=st.data())
def test_what_is_out_stays_out(spec: str, values: list[float], data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=5))
    after = stage(spec)(row(values), torch.tensor([ids], dtype=torch.int64))
    assert not after.isnan().any()
    out = {i for i, value in enumerate(values) if value == -math.inf}
    assert out.isdisjoint(kept(after))
    assert kept(after)


@pytest.mark.parametrize("spec", STAGES)
def test_no_stage_changes_its_input(spec: str) -> None:
    logits = row([1.0, 0.0, 2.0])
    stage(spec)(logits, torch.tensor([[0, 1]]))
    assert logits.tolist() == [[1.0, 0.0, 2.0]]


def test_a_chain_applies_one_stage_after_the_other() -> None:
    logits = row([0.0, 1.0, 2.0, 3.0])
    for spec in ("top-k=3", "temperature=0.5", "top-p=0.9"):
        logits = stage(spec)(logits, NO_HISTORY)
    # Of ids 1, 2, 3 with logits 2, 4, 6 the last has 0.867, the last two 0.984.
    assert kept(logits) == [2, 3]
    assert float(logits.softmax(dim=1)[0, 3]) == pytest.approx(1 / (1 + math.exp(-2)))


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("greedy", {}),
        ("temperature", {"value": 1.0}),
        ("temperature=0.8", {"value": 0.8}),
        ("temperature:value=2", {"value": 2.0}),
        ("top-k=1", {"k": 1}),
        ("top-p=1", {"p": 1.0}),
        ("repetition-penalty=1.3", {"penalty": 1.3, "window": 64}),
        ("repetition-penalty:window=3,penalty=2", {"penalty": 2.0, "window": 3}),
    ],
)
def test_a_specification_gives_options(spec: str, options: dict[str, float]) -> None:
    assert from_spec("decoder", spec, REGISTRY).options == options


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("temperature=-0.001", "value"),
        ("temperature=101", "value"),
        ("temperature=nan", "value"),
        ("temperature=warm", "value"),
        ("temperature=", "value"),
        ("top-k=0", "k"),
        ("top-k=2.5", "k"),
        ("top-p=0", "p"),
        ("top-p=1.1", "p"),
        ("repetition-penalty=0.9", "penalty"),
        ("repetition-penalty:window=0", "window"),
        ("repetition-penalty:widow=3", "widow"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(spec: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_spec("decoder", spec, REGISTRY)
    name = re.split("[=:]", spec)[0]
    assert caught.value.field == f"decoder {name}.{field}"


@pytest.mark.parametrize("spec", ["greedy=1", "repetition-penalty:window"])
def test_a_malformed_specification_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"generation\.decoders"):
        from_spec("decoder", spec, REGISTRY)


@pytest.mark.parametrize("spec", ["", "=1", "tempratur=1"])
def test_an_unknown_stage_lists_what_there_is(spec: str) -> None:
    with pytest.raises(UnknownNameError, match="greedy, repetition-penalty, temperature"):
        from_spec("decoder", spec, REGISTRY)
