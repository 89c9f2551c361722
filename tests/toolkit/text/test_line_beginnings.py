from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.text.line_beginnings import line_beginnings


@pytest.mark.parametrize(
    ("text", "beginnings"),
    [
        # the most frequent first character, and what at least half of its lines go on with
        ("我们走\n我的心\n你好\n我要\n你来", ("我", "你")),
        ("分开了\n分开后\n不分开\n分手", ("分开", "不分开")),
        ("月亮桥头\n月亮桥边\n月亮桥下", ("月亮桥",)),
        # the first word, with its blank
        ("The moon\nThen I\nThe sun\nI see\nI am\nThe end", ("The ", "I ")),
        ("안녕 하세요\n안녕 친구\n사랑 해요", ("안녕 ", "사랑 ")),
        ("la\nla\nla la", ("la",)),
        # of equally frequent ones the earlier
        ("b x\na y", ("b ", "a ")),
        # blank lines and indents are nothing; no letter counts less
        ("\n  The a\n\n\tThe b\n- x\n- y\n- z\n", ("The ",)),
        ("1 x\n1 y\n2", ("1 ", "2")),
        # what cannot be a word is cut
        ("x" * 50, ("xxx",)),
        ("", ()),
        ("\n \n", ()),
    ],
)
def test_frequent_beginnings(text: str, beginnings: tuple[str, ...]) -> None:
    assert line_beginnings(text) == beginnings


@given(st.text("我们a The\n\u3000,", max_size=60), st.integers(1, 4))
def test_whatever_the_text_they_are_made_of_its_characters(text: str, count: int) -> None:
    found = line_beginnings(text, count)
    assert len(found) <= count
    assert bool(found) == bool(text.strip())
    assert len(set(found)) == len(found)
    for beginning in found:
        assert any(line.strip().startswith(beginning) for line in text.split("\n"))


def test_a_long_text_is_looked_at_in_part() -> None:
    assert line_beginnings("我走\n" * 300_000 + "你来\n" * 900_000) == ("我走", "你来")
    assert line_beginnings("我走\n" * 400_000 + "你来\n" * 900_000) == ("我走",)
