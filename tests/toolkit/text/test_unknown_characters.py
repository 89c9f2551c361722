from __future__ import annotations

import importlib.util

import pytest

from versemill.text.unknown_characters import UnknownCharacter, unknown_characters


def message(
    text: str, vocabulary: str, forms: dict[str, str] | None = None
) -> dict[str, str | None]:
    found = unknown_characters(
        text, set(vocabulary).__contains__, lambda c: tuple((forms or {}).get(c, ""))
    )
    return {one.character: one.known_as for one in found}


@pytest.mark.parametrize(
    ("character", "known_as"),
    [
        (",", "，"), ("，", ","), ("(", "（"), ("）", ")"), ("!", "！"), ("Ａ", "A"), ("7", "７"),
        ("\u3000", " "), (" ", "\u3000"), ("~", "～"), ("｡", "。"), ("。", "｡"), ("ｱ", "ア"),
        ("\u00a0", " "), ("￥", "¥"),
    ],
)  # fmt: skip
def test_the_other_width_is_named_where_it_is_known(character: str, known_as: str) -> None:
    assert message(character, known_as) == {character: known_as}
    assert message(character, "x") == {character: None}


def test_a_form_of_several_characters_is_known_if_all_of_them_are() -> None:
    assert message("…", ".") == {"…": "..."}
    assert message("½", "12") == {"½": None}


def test_ideographs_are_named_in_the_script_that_is_known() -> None:
    forms = {"燈": "灯燈", "灯": "灯燈", "x": "灯"}
    assert message("燈", "灯", forms) == {"燈": "灯"}
    assert message("灯", "燈", forms) == {"灯": "燈"}
    assert message("燈", "火", forms) == {"燈": None}
    assert message("x", "灯", forms) == {"x": None}  # no ideograph: nothing to convert


def test_each_unknown_character_is_named_once_in_the_order_of_the_text() -> None:
    assert list(message("bxaxyb", "ab")) == ["x", "y"]
    assert message("ab", "ab") == {}
    assert message("", "ab") == {}


def test_the_installed_converter_or_none() -> None:
    found = unknown_characters("燈發", set("灯发").__contains__)
    known = ("灯", "发") if importlib.util.find_spec("opencc") else (None, None)
    assert found == tuple(
        UnknownCharacter(character=character, known_as=form)
        for character, form in zip("燈發", known, strict=True)
    )
