"""Counts, names and values in messages, whatever their size."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from versemill import phrases
from versemill.config.job import TrainingOptions
from versemill.config.validation import validated
from versemill.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 epochs"), (1, "1 epoch"), (2000, "2,000 epochs")]
)
def test_counts(number: int, words: str) -> None:
    assert phrases.counted(number, "epoch") == words


def test_the_nearest_of_many_names_is_found_by_bounded_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def get_close_matches(word: str, possibilities: list[str], **options: Any) -> list[str]:
        assert len(word) <= 100
        assert len(possibilities) <= 1000
        assert max(map(len, possibilities)) <= 100
        return matches(word, possibilities, **options)

    matches = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", get_close_matches)
    known = [f"name-{number}" for number in range(5_000)] + ["x" * 100_000]
    assert "did you mean 'name-7'?" in str(UnknownNameError("cell", "name-7!", known))
    for name in ("n" * 100_000, "name-7"):
        message = str(UnknownNameError("cell", name, known))
        assert len(message) < 1_000
        assert "and 4,981 more" in message


def test_a_value_without_measure_is_shown_in_short() -> None:
    for value in ("x" * 100_000, list(range(100_000)), 1 << 100_000):
        message = str(ConfigError("model.layers", value, "at most 3"))
        assert len(message) < 300
    with pytest.raises(ConfigError) as caught:
        validated(TrainingOptions, {"k" * 100_000: 1}, where="training")
    assert len(str(caught.value)) < 1_000


def test_a_number_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most 256 bits"):
        validated(TrainingOptions, {"epochs": 1 << 20_000}, where="training")
