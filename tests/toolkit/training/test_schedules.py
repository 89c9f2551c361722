"""Learning rates by step."""

from __future__ import annotations

import itertools
import math

import pytest

from versemill.config.job import TrainingOptions
from versemill.training.schedules import learning_rate


def rates(steps: int, **options: object) -> list[float]:
    settings = TrainingOptions(learning_rate=2.0, **options)
    return [learning_rate(settings, number, steps) for number in range(steps + 1)]


def test_a_constant_rate_is_constant() -> None:
    assert rates(5) == [2.0] * 6


def test_warm_up_is_linear() -> None:
    assert rates(6, warmup_steps=4) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0]


def test_the_cosine_goes_from_the_peak_to_a_tenth() -> None:
    cosine = rates(10, schedule="cosine", warmup_steps=2)
    assert cosine[:3] == [1.0, 2.0, 2.0]
    assert cosine[6] == pytest.approx(2.0 * (0.1 + 0.9 / 2))  # half way
    assert cosine[10] == pytest.approx(0.2)
    assert all(earlier > later for earlier, later in itertools.pairwise(cosine[2:]))


def test_beyond_its_end_the_cosine_stays_low() -> None:
    settings = TrainingOptions(learning_rate=2.0, schedule="cosine")
    assert learning_rate(settings, 50, 10) == pytest.approx(0.2)


def test_a_warm_up_longer_than_the_run_still_ends_finite() -> None:
    assert all(math.isfinite(rate) for rate in rates(3, schedule="cosine", warmup_steps=10))
