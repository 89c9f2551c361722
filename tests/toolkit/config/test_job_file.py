"""What is written as a job file is read back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.config.bounded_toml import parsed
from versemill.config.job_file import to_toml

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.lists(texts, max_size=3),
    st.dictionaries(texts, st.integers(0, 9), max_size=3),
)
sections = st.dictionaries(texts, scalars, min_size=1, max_size=4)


@given(
    st.fixed_dictionaries(
        {"corpus": texts, "prefixes": st.lists(texts)},
        optional={"training": sections, "cell_options": sections},
    )
)
def test_every_table_comes_back(table: dict[str, Any]) -> None:
    assert parsed(to_toml(table)) == table


def test_what_is_not_set_is_left_out() -> None:
    table = {"corpus": "x", "name": None, "training": {"epochs": 3, "seed": None}, "model": {}}
    assert parsed(to_toml(table)) == {"corpus": "x", "training": {"epochs": 3}}


def test_nothing_in_it_can_be_unseen_or_begin_a_line() -> None:
    text = to_toml({"corpus": "a\nb\x1b\u202e\U000e0001"})
    assert text == 'corpus = "a\\u000Ab\\u001B\\u202E\\U000E0001"\n'


def test_other_values_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot hold a object"):
        to_toml({"corpus": object()})
