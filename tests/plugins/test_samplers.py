"""The built-in samplers. Shapes: B batch, S steps of an epoch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from versemill_plugins.samplers.consecutive import ConsecutiveSampler
from versemill_plugins.samplers.random import RandomSampler

SAMPLERS = [RandomSampler, ConsecutiveSampler]
either = pytest.mark.parametrize("sampler_class", SAMPLERS)
lengths = st.integers(0, 400)
sizes = st.integers(1, 12)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def predicted(starts_SB: torch.Tensor, window: int) -> list[int]:
    """Every position that is a target in the epoch."""
    return (starts_SB.unsqueeze(-1) + torch.arange(1, window + 1)).flatten().tolist()


@either
def test_ten_thousand_ids_give_the_textbooks_eight_updates(sampler_class: type) -> None:
    sampler = sampler_class(10_000, 32, 35)
    assert sampler.steps == 8
    assert sampler.starts(generator()).shape == (8, 32)


def test_ten_thousand_ids_hold_285_windows() -> None:
    sampler = RandomSampler(10_000, 1, 35)
    assert sampler.steps == 285
    assert sorted(sampler.starts(generator()).flatten().tolist()) == list(range(0, 9_975, 35))


@either
@given(length=lengths, batch_size=sizes, window=sizes)
def test_targets_are_in_range_and_predicted_at_most_once(
    sampler_class: type, length: int, batch_size: int, window: int
) -> None:
    sampler = sampler_class(length, batch_size, window)
    starts = sampler.starts(generator())
    assert starts.dtype == torch.int64
    assert starts.shape == (sampler.steps, batch_size)
    targets = predicted(starts, window)
    assert len(set(targets)) == len(targets)
    assert all(1 <= target < length for target in targets)
    assert all(start >= 0 for start in starts.flatten().tolist())


@given(length=lengths, batch_size=sizes, window=sizes)
def test_random_windows_lie_at_fixed_offsets_and_fill_whole_batches(
    length: int, batch_size: int, window: int
) -> None:
    starts = RandomSampler(length, batch_size, window).starts(generator()).flatten().tolist()
    windows = max(0, (length - 1) // window)
    assert all(start % window == 0 for start in starts)
    assert len(starts) == windows // batch_size * batch_size


def test_random_windows_are_ordered_by_the_seed() -> None:
    sampler = RandomSampler(10_000, 32, 35)
    first = sampler.starts(generator(1))
    assert torch.equal(first, sampler.starts(generator(1)))
    assert not torch.equal(first, sampler.starts(generator(2)))
    assert first.flatten().tolist() != sorted(first.flatten().tolist())


def test_every_random_window_gets_its_turn_to_be_left_out() -> None:
    sampler = RandomSampler(10 * 5 + 1, 4, 5)  # ten windows, eight used
    used = [set(sampler.starts(generator(seed)).flatten().tolist()) for seed in range(100)]
    assert set.union(*used) == set(range(0, 50, 5))
    assert set.intersection(*used) == set()


@given(length=lengths, batch_size=sizes, window=sizes)
def test_consecutive_rows_go_on_where_they_ended(length: int, batch_size: int, window: int) -> None:
    starts = ConsecutiveSampler(length, batch_size, window).starts(generator())
    assert torch.equal(starts[1:], starts[:-1] + window)


@given(length=lengths, batch_size=sizes, window=sizes)
def test_consecutive_rows_are_equal_shares_of_the_text(
    length: int, batch_size: int, window: int
) -> None:
    sampler = ConsecutiveSampler(length, batch_size, window)
    share = length // batch_size
    assert sampler.steps == max(0, (share - 1) // window)
    if sampler.steps:
        first = sampler.starts(generator())[0].tolist()
        assert first == [share * row for row in range(batch_size)]


def test_consecutive_windows_draw_nothing() -> None:
    used = generator(1)
    ConsecutiveSampler(1_000, 4, 5).starts(used)
    assert torch.equal(used.get_state(), generator(1).get_state())


def test_only_the_consecutive_sampler_carries_state() -> None:
    assert not RandomSampler.carries_state
    assert ConsecutiveSampler.carries_state
