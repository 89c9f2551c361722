from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.cli.terminal.tables import (
    ago,
    cell_width,
    duration,
    perplexity,
    table,
)
from versemill.escaping import harmless, one_line

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("abc", 3),
        ("分开", 4),
        ("a分b", 4),
        ("", 0),
        ("ｗ", 2),
        ("e\u0301", 1),
        ("한글", 4),
        ("·", 1),
    ],
)
def test_wide_characters_take_two_columns(text: str, width: int) -> None:
    assert cell_width(text) == width


def test_columns_align_with_chinese_names() -> None:
    lines = table(
        ("ID", "NAME", "STATE"), [(1, "第一首歌", "queued"), (12, "song", "failed")], right="ID"
    ).splitlines()
    assert lines == [
        "ID  NAME      STATE",
        " 1  第一首歌  queued",
        "12  song      failed",
    ]


@given(
    st.lists(
        st.tuples(st.text(st.sampled_from("ab 分开ｗé\u0301\n\x1b")), st.sampled_from(["x", "分"])),
        max_size=8,
    )
)
def test_the_last_column_begins_at_one_place_in_every_line(rows: list[tuple[str, str]]) -> None:
    lines = table(("NAME", "MARK"), rows).split("\n")
    assert len(lines) == 1 + len(rows)
    starts = {cell_width(line[:-1]) for line in lines[1:]}
    width = max([4, *(cell_width(one_line(name)) for name, _ in rows)])
    assert starts <= {width + 2}


def test_nothing_is_cut_off() -> None:
    assert "x" * 500 in table(("A", "B"), [("x" * 500, 1)])


def test_none_is_a_dash_and_control_characters_are_escaped() -> None:
    assert table(("A", "B"), [(None, "a\x1b[31mb\tc")]).splitlines()[1] == r"–  a\x1b[31mb\tc"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "just now"),
        (0.4, "just now"),
        (42, "42 s ago"),
        (200, "3 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_times_are_relative(seconds: float, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), now=NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (float("inf"), "–"),
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (65, "1 min 5 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (190_000, "2 d 4 h"),
    ],
)
def test_durations_have_units(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (1.234, "1.23"), (52.34, "52.3"), (1234.5, "1,234.5"), (1e9, "1.00e+09")],
)
def test_perplexities_have_the_digits_that_matter(value: float | None, words: str) -> None:
    assert perplexity(value) == words


STEERING = [chr(n) for n in range(0x20) if chr(n) not in "\n\t"]
STEERING += [chr(n) for n in range(0x7F, 0xA0)] + list("\u2028\u2029\u202e\u2066\u2069\ud800")


@given(st.text(st.characters() | st.sampled_from(STEERING)))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    shown = harmless(text)
    assert not set(STEERING) & set(shown)
    assert harmless(shown) == shown
    assert "\n" not in one_line(text)


@pytest.mark.parametrize("text", ["分开\n\t不分开\u3000", "e\u0301", "👩\u200d👧", "می\u200cخواهم"])
def test_scripts_of_the_world_are_left_alone(text: str) -> None:
    assert harmless(text) == text


def test_what_is_hidden_can_still_be_read() -> None:
    assert harmless("\x1b[2J\x9b\u202e") == r"\x1b[2J\x9b\u202e"
