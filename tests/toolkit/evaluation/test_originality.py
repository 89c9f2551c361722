from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.errors import ConfigError
from versemill.evaluation.originality import copied_share, distinct, usual_span

small = st.text("ab\n", max_size=30)


def copied_by_definition(text: str, source: str, span: int) -> float:
    marked = [False] * len(text)
    for start in range(len(text)):
        for end in range(start + span, len(text) + 1):
            if text[start:end] in source:
                marked[start:end] = [True] * (end - start)
    return sum(marked) / len(text) if text else 0.0


@given(small, small, st.integers(1, 6))
def test_copied_share_is_what_its_definition_says(text: str, source: str, span: int) -> None:
    assert copied_share(text, source, span=span) == copied_by_definition(text, source, span)


@given(st.text(min_size=8))
def test_a_text_within_its_source_is_all_copied(text: str) -> None:
    assert copied_share(text, f"x{text}y", span=8) == 1.0


def test_stretches_shorter_than_the_span_do_not_count() -> None:
    assert copied_share("1234567x", "1234567y", span=8) == 0.0
    assert copied_share("12345678x", "12345678y", span=8) == 8 / 9
    assert copied_share("1234567", "1234567", span=8) == 0.0
    assert copied_share("", "abc", span=8) == 0.0


def test_a_large_source_is_no_trouble() -> None:
    source = "the quick brown fox. " * 100_000
    started = time.perf_counter()
    assert copied_share("the quick brown fox. " * 1000, source) == 1.0
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("abab", 2, 2 / 3),
        ("a b\na\tb", 2, 2 / 3),
        ("aaaa", 1, 1 / 4),
        ("abcd", 2, 1.0),
        ("分开分开", 2, 2 / 3),
        ("a", 2, 0.0),
        ("", 1, 0.0),
    ],
)
def test_distinct_counts_different_character_grams(text: str, n: int, expected: float) -> None:
    assert distinct(text, n) == pytest.approx(expected)


@given(st.text(max_size=40), st.integers(1, 4))
def test_distinct_is_a_share(text: str, n: int) -> None:
    assert 0.0 <= distinct(text, n) <= 1.0


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="span = 0"):
        copied_share("a", "b", span=0)
    with pytest.raises(ConfigError, match="n = 0"):
        distinct("a", 0)


def test_a_stretch_is_longer_where_letters_make_words() -> None:
    assert usual_span("分开以后 不分开") == 8
    assert usual_span("We part at the door") == 20
    assert copied_share("we part at dawn", "and we part at night") == 0.0
    assert copied_share("你我在桥边分开了", "那年你我在桥边分开了") == 1.0
