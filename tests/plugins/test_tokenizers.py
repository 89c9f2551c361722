from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.errors import CheckpointError
from versemill_plugins.options import CharacterOptions
from versemill_plugins.tokenizers.char import CharacterTokenizer

unknown_or_not = pytest.mark.parametrize("unknown", [True, False])


def trained(text: str, *, unknown: bool = True) -> CharacterTokenizer:
    return CharacterTokenizer.train(text, CharacterOptions(unknown=unknown))


@unknown_or_not
@given(text=st.text())
def test_text_within_the_vocabulary_round_trips(unknown: bool, text: str) -> None:
    tokenizer = trained(text, unknown=unknown)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@unknown_or_not
@given(text=st.text(), other=st.text())
def test_every_id_is_in_the_vocabulary(unknown: bool, text: str, other: str) -> None:
    tokenizer = trained(text, unknown=unknown)
    assert set(tokenizer.encode(other)) <= set(range(len(tokenizer.tokens)))


@given(st.text(), st.randoms())
def test_the_order_of_the_text_does_not_matter(text: str, random) -> None:
    shuffled = list(text)
    random.shuffle(shuffled)
    assert trained("".join(shuffled)).tokens == trained(text).tokens


def test_the_vocabulary_is_sorted_after_unk() -> None:
    assert list(trained("分b开\na").tokens) == ["<unk>", "\n", "a", "b", "分", "开"]


def test_without_unk_only_characters_have_ids() -> None:
    tokenizer = trained("ba", unknown=False)
    assert list(tokenizer.tokens) == ["a", "b"]
    assert tokenizer.unknown_id is None


def test_a_character_outside_the_vocabulary_becomes_unk() -> None:
    tokenizer = trained("ab")
    assert tokenizer.encode("azb") == [1, tokenizer.unknown_id, 2]
    assert tokenizer.decode([1, 0, 2]) == "a\ufffdb"


def test_without_unk_a_character_outside_the_vocabulary_is_left_out() -> None:
    assert trained("ab", unknown=False).encode("azb") == [0, 1]


def test_the_letters_of_unk_are_letters() -> None:
    tokenizer = trained("<unk>")
    assert tokenizer.unknown_id not in tokenizer.encode("<unk>")
    assert tokenizer.decode(tokenizer.encode("<unk>")) == "<unk>"


@unknown_or_not
@given(text=st.text(), other=st.text())
def test_json_keeps_everything(unknown: bool, text: str, other: str) -> None:
    tokenizer = trained(text, unknown=unknown)
    stored = json.loads(json.dumps(tokenizer.to_json()))
    again = CharacterTokenizer.from_json(stored)
    assert list(again.tokens) == list(tokenizer.tokens)
    assert again.unknown_id == tokenizer.unknown_id
    assert again.encode(other) == tokenizer.encode(other)


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"characters": "ab"},
        {"unknown": True},
        {"characters": ["a", "b"], "unknown": True},
        {"characters": "ab", "unknown": 1},
        {"characters": None, "unknown": False},
    ],
)
def test_malformed_json_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="malformed"):
        CharacterTokenizer.from_json(stored)
