from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.generation.stopping import TextEnd

few = st.text("ab\n", max_size=14)
stops = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3)


def ended(pieces: list[str], *, prefix: str = "", lines: int = 0, stop: list[str]) -> list[str]:
    """What is shown after each piece, and at the end."""
    end = TextEnd(prefix, lines=lines, stop=stop)
    return [*(end.take(piece) for piece in pieces), end.rest()]


def by_the_rule(prefix: str, drawn: str, lines: int, stop: list[str]) -> str:
    """The rule, word by word, with no thought of speed."""
    for length in range(len(drawn) + 1):
        text = drawn[:length]
        complete = [line for line in (prefix + text).split("\n")[:-1] if line.strip()]
        found = [word for word in stop if text.endswith(word)]
        if found:
            return text[: -max(map(len, found))]
        if 0 < lines <= len(complete):
            return text.removesuffix("\n")
    return drawn


@given(few, few, st.integers(0, 4), stops, st.lists(st.integers(0, 14)))
def test_the_end_is_where_the_rule_says_however_the_text_is_cut(
    prefix: str, drawn: str, lines: int, stop: list[str], cuts: list[int]
) -> None:
    at = sorted({0, len(drawn), *(min(cut, len(drawn)) for cut in cuts)})
    pieces = [drawn[a:b] for a, b in itertools.pairwise(at)]
    shown = ended(pieces, prefix=prefix, lines=lines, stop=stop)
    assert "".join(shown) == by_the_rule(prefix, drawn, lines, stop)


@given(few, stops)
def test_what_is_held_back_is_the_beginning_of_a_stop_text(drawn: str, stop: list[str]) -> None:
    end = TextEnd("", lines=0, stop=stop)
    shown = ""
    for at, character in enumerate(drawn, 1):
        shown += end.take(character)
        if end.ended:
            break
        held = drawn[len(shown) : at]
        assert not held or any(word.startswith(held) for word in stop)


@pytest.mark.parametrize(
    ("prefix", "drawn", "lines", "text"),
    [
        ("", "a\nb\nc\n", 2, "a\nb"),
        ("a\nb", "b\nc\n", 2, "b"),
        ("a\n", "b\nc\n", 2, "b"),
        ("a\nb\n", "c\nd\n", 2, ""),
        ("a\nb\nc", "d\ne\n", 2, ""),
        ("\n \n", "a\n\n\nb\nc", 2, "a\n\n\nb"),
        ("a", "b\nc", 0, "b\nc"),
    ],
)
def test_lines_count_those_of_the_prefix_once(
    prefix: str, drawn: str, lines: int, text: str
) -> None:
    assert "".join(ended([drawn], prefix=prefix, lines=lines, stop=[])) == text


@pytest.mark.parametrize(
    ("drawn", "stop", "shown"),
    [
        (["x", "a", "b", "c"], ["abc"], ["x", "", "", ""]),
        (["x", "a", "b", "d"], ["abc"], ["x", "", "", "abd"]),
        (["xabcy"], ["abc"], ["x"]),
        (["a", "a", "a", "b"], ["aab"], ["", "", "a", ""]),
        (["a", "b"], ["b", "ab"], ["", ""]),
        (["a", "b", "c"], ["abcd", "bx"], ["", "", "", "abc"]),
        (["x", "\n", "\n", "y"], ["\n\n"], ["x", "", "", ""]),
    ],
)
def test_a_stop_text_is_not_shown_nor_what_may_begin_one(
    drawn: list[str], stop: list[str], shown: list[str]
) -> None:
    assert ended(drawn, stop=stop)[: len(shown)] == shown


def test_stop_texts_are_looked_for_after_the_prefix() -> None:
    assert "".join(ended(["b", "a", "b"], prefix="aba", stop=["ab"])) == "b"


def test_a_line_limit_shows_what_was_held_back_for_a_stop_text() -> None:
    assert "".join(ended(["x", "a", "\n", "b"], lines=1, stop=["a\nb"])) == "xa"
