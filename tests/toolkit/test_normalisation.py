"""The one form of all text that comes in."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill import normalisation
from versemill.errors import ConfigError, CorpusError, TextError
from versemill.normalisation import (
    MOST_MARKS,
    cleaned,
    normalised,
    prepared,
    prepared_name,
    spellings,
)
from versemill.text.corpus import Text

ACUTE, BELOW = "\u0301", "\u0316"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=90))
def test_normalising_again_changes_nothing(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "\r" not in once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "café"),
        ("a\r\nb\rc\r\r\nd\fe", "a\nb\nc\nd\ne"),
        ("\u1112\u1161\u11ab", "한"),
        ("tab\there", "tab\there"),
        ("next\u2028line", "next\u2028line"),
    ],
)
def test_what_comes_in_has_one_form(text: str, expected: str) -> None:
    assert cleaned(text) == prepared(text, "prefix") == expected


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        ("la\udce9", "not valid UTF-8", 2),
        ("分开\ud83d", "not valid UTF-8", 2),
        ("a\x00b", r"U\+0000", 1),
        ("a\x1b[2J", r"U\+001B", 1),
        ("a\x1a", r"U\+001A", 1),
        ("a\x85b", r"U\+0085", 1),
    ],
)
def test_what_no_text_has_is_refused_with_its_place(text: str, reason: str, offset: int) -> None:
    with pytest.raises(TextError, match=reason) as caught:
        cleaned(text)
    assert caught.value.offset == offset
    with pytest.raises(ConfigError, match=rf"prefix = .*{reason}") as message:
        prepared(text, "prefix")
    assert str(message.value).isprintable()


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "a\u2028b", "a\r"])
def test_a_name_has_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="one line"):
        prepared_name(text, "name")


@pytest.mark.parametrize(
    "mark",
    [
        ACUTE,
        BELOW + ACUTE,
        "\u0f73",  # whose own class is 0, and which decomposes into two marks to be sorted
        "\u0344",
    ],
)
def test_runs_of_marks_are_refused_before_they_are_sorted(
    monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    def normalize(form: str, text: str) -> str:
        sizes.append(len(text))
        return unicodedata_normalize(form, text)

    sizes: list[int] = []
    unicodedata_normalize = unicodedata.normalize
    monkeypatch.setattr(normalisation.unicodedata, "normalize", normalize)
    text = "a" + mark * 200_000
    with pytest.raises(TextError, match=f"more than {MOST_MARKS} combining marks") as caught:
        normalised(text)
    assert caught.value.offset == 1
    assert max(sizes) == 1


def test_as_many_marks_as_are_allowed_are_put_in_order() -> None:
    text = "a" + (ACUTE + BELOW) * (MOST_MARKS // 2)
    assert normalised(text) == unicodedata.normalize("NFC", text)
    with pytest.raises(TextError):
        normalised(text + BELOW)


def test_every_mark_of_unicode_counts() -> None:
    marks = [chr(c) for c in range(0x110000) if unicodedata.combining(chr(c))]
    assert len(marks) > 800
    for mark in marks:
        with pytest.raises(TextError):
            normalised(mark * (MOST_MARKS + 1))


def test_a_stored_text_of_marks_is_not_trained_on() -> None:
    from versemill.text.options import TextOptions
    from versemill.text.splitting import split

    with pytest.raises(CorpusError, match="combining marks in a row"):
        split(Text(("la" + ACUTE * 200_000,)), TextOptions())


def test_a_stored_name_is_looked_for_in_the_spellings_it_may_have() -> None:
    assert spellings("abc") == ("abc",)
    assert spellings("café") == ("café", "cafe\u0301")
    assert spellings("cafe\u0301") == ("cafe\u0301", "café")
    assert spellings("分开") == ("分开",)


def test_it_costs_a_command_nothing() -> None:
    code = (
        "import sys, versemill.normalisation\n"
        "heavy = {'torch', 'pydantic', 'sqlalchemy', 'numpy', 'click'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
