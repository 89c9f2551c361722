from __future__ import annotations

import hashlib
import random
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from versemill.errors import CorpusError
from versemill.text.corpus import Text
from versemill.text.options import TextOptions
from versemill.text.splitting import SONG_GAP, Parts, normalised, split, without_blank_edges

characters = st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n")
song = st.text(characters, min_size=1, max_size=30).filter(lambda s: bool(s.strip()))
songs = st.lists(song, min_size=3, max_size=40)
holdouts = st.floats(0, 0.5)


def bare(text: str) -> str:
    return "".join(normalised(text).split())


def numbered(count: int) -> tuple[str, ...]:
    return tuple(f"song number {i:03}\nla la" for i in range(count))


# Texts without song boundaries


def test_the_tail_is_held_out() -> None:
    text = "".join(random.Random(1).choices("abcdef \n", k=1_115_394))
    parts = split(Text((text,)), TextOptions())
    assert parts == Parts(text[:1_003_854], (text[1_003_854:],), ())


@given(song, holdouts)
def test_the_two_parts_of_an_unsegmented_text_make_it_up(text: str, holdout: float) -> None:
    assume(text.lstrip() == text)
    parts = split(Text((text,)), TextOptions(holdout=holdout))
    assert parts.training + "".join(parts.validation) == normalised(text)
    assert len(parts.training) == max(1, int((1 - holdout) * len(normalised(text))))
    assert parts.test == ()


def test_no_holdout_holds_nothing_out() -> None:
    assert split(Text(("abc",)), TextOptions(holdout=0)) == Parts("abc")
    assert split(Text(numbered(30)), TextOptions(holdout=0)) == Parts(SONG_GAP.join(numbered(30)))
    assert split(Text(("abcdef",)), TextOptions(holdout=0, first=2)) == Parts("ab")


# Songs


@given(songs, holdouts)
def test_no_held_out_song_is_in_the_training_text(pieces: list[str], holdout: float) -> None:
    parts = split(Text(tuple(pieces)), TextOptions(holdout=holdout))
    trained = {bare(s) for s in pieces}
    held_out = [bare(s) for s in parts.validation + parts.test]
    if len(trained) < 3:
        return
    trained.difference_update(held_out)
    assert len(held_out) == len(set(held_out))
    assert bare(parts.training) == "".join(
        dict.fromkeys(bare(s) for s in pieces if bare(s) in trained)
    )
    assert trained


@given(songs, holdouts, st.randoms())
def test_membership_does_not_depend_on_the_order_of_the_songs(
    pieces: list[str], holdout: float, rng: random.Random
) -> None:
    assume(len({bare(s) for s in pieces}) >= 3)
    options = TextOptions(holdout=holdout)
    shuffled = list(pieces)
    rng.shuffle(shuffled)
    parts, other = split(Text(tuple(pieces)), options), split(Text(tuple(shuffled)), options)
    assert (parts.validation, parts.test) == (other.validation, other.test)
    assert len(parts.training) == len(other.training)
    assert sorted(bare(parts.training)) == sorted(bare(other.training))


def test_songs_are_held_out_in_the_order_of_their_hashes_up_to_the_share() -> None:
    pieces = numbered(40)
    ordered = sorted(pieces, key=lambda s: hashlib.sha256(s.encode()).hexdigest())
    parts = split(Text(pieces), TextOptions(holdout=0.1))
    assert parts.validation == tuple(ordered[:4])
    assert parts.test == tuple(ordered[4:8])
    kept = [s for s in pieces if s not in ordered[:8]]
    assert parts.training == SONG_GAP.join(kept)


def test_a_test_part_needs_twenty_distinct_songs() -> None:
    assert split(Text(numbered(19) + numbered(5)), TextOptions()).test == ()
    assert len(split(Text(numbered(20)), TextOptions()).test) == 2


def test_songs_that_differ_in_white_space_only_count_once() -> None:
    pieces = ("一 二\n三", *numbered(5), "一二 三\n", numbered(5)[2] + "\n\n")
    parts = split(Text(pieces), TextOptions(holdout=0.4))
    everything = [*parts.training.split(SONG_GAP), *parts.validation]
    assert sorted(map(bare, everything)) == sorted(map(bare, ("一二三", *numbered(5))))


def test_decomposed_and_composed_songs_are_one() -> None:
    composed = "caf\u00e9 one"
    pieces = (composed, unicodedata.normalize("NFD", composed), *numbered(4))
    parts = split(Text(pieces), TextOptions(holdout=0))
    assert parts.training == SONG_GAP.join((composed, *numbered(4)))


def test_with_fewer_than_three_distinct_songs_the_tail_is_held_out() -> None:
    parts = split(Text(("one\n" * 5, "two\n" * 5, "one\n" * 5)), TextOptions())
    assert len(parts.validation) == 1
    training, tail = parts.training, parts.validation[0]
    assert training + tail in {SONG_GAP.join(p) for p in (("one\n" * 5, "two\n" * 5),)}


@pytest.mark.parametrize("count", [3, 4, 20, 21])
@pytest.mark.parametrize("long", range(3))
def test_training_is_never_empty(count: int, long: int) -> None:
    pieces = list(numbered(count))
    pieces[long] *= 1000
    parts = split(Text(tuple(pieces)), TextOptions(holdout=0.5))
    assert parts.training.strip()
    assert parts.validation


def test_one_part_is_the_same_on_every_machine() -> None:
    parts = split(Text(numbered(25)), TextOptions())
    names = [s.split("\n")[0][-3:] for s in parts.validation + parts.test]
    assert names == ["017", "010", "006", "022", "015", "011"]


# The first N characters


def test_first_trains_on_the_beginning_and_holds_out_what_follows() -> None:
    parts = split(Text(("abcde", "fgh", "ij")), TextOptions(first=6))
    assert parts == Parts("abcde\n", ("\n\nfgh\n",), ())


@given(songs, st.integers(1, 200))
def test_first_takes_a_prefix_and_at_most_as_much_again(pieces: list[str], first: int) -> None:
    joined = SONG_GAP.join(map(normalised, pieces))
    assume(joined[:first].strip())
    parts = split(Text(tuple(pieces)), TextOptions(first=first))
    assert parts.training == joined[:first]
    assert "".join(parts.validation) == joined[first : 2 * first]
    assert len(parts.validation) == (len(joined) > first)
    assert parts.test == ()


def test_first_counts_composed_characters() -> None:
    assert split(Text(("e\u0301" * 10,)), TextOptions(first=3)).training == "\u00e9" * 3


def test_more_than_there_is_takes_everything() -> None:
    assert split(Text(("abc",)), TextOptions(first=10)) == Parts("abc")


# Newlines


@given(songs, holdouts, st.none() | st.integers(1, 200))
def test_newlines_become_one_space_each(
    pieces: list[str], holdout: float, first: int | None
) -> None:
    text = Text(tuple(pieces))
    assume(first is None or SONG_GAP.join(map(normalised, pieces))[:first].strip())
    kept = split(text, TextOptions(holdout=holdout, first=first))
    spaced = split(text, TextOptions(holdout=holdout, first=first, newlines="space"))
    assert spaced.training == kept.training.replace("\n", " ")
    assert spaced.validation == tuple(s.replace("\n", " ") for s in kept.validation)
    assert spaced.test == tuple(s.replace("\n", " ") for s in kept.test)


def test_a_carriage_return_of_a_plugin_counts_as_one_line_end() -> None:
    assert split(Text(("a\r\nb",)), TextOptions(holdout=0, newlines="space")).training == "a b"


# The separator, for texts whose boundaries are not known yet


def test_a_separator_applies_to_a_stored_text_once() -> None:
    options = TextOptions(holdout=0, song_separator="#")
    assert split(Text(("a\n#\nb\n",)), options).training == "a\n\n\nb"
    assert split(Text(("a\n#\nb", "c")), options).training == "a\n#\nb\n\n\nc"
    assert split(Text(("a\nb",)), options).training == "a\nb"


# Nothing to train on


@pytest.mark.parametrize("pieces", [("",), ("\n \n",), ("", " "), (" ",) * 30])
@pytest.mark.parametrize("first", [None, 5])
def test_an_empty_corpus_is_refused(pieces: tuple[str, ...], first: int | None) -> None:
    with pytest.raises(CorpusError, match="no text to train on"):
        split(Text(pieces), TextOptions(first=first))


def test_a_beginning_of_blank_lines_is_refused() -> None:
    with pytest.raises(CorpusError, match="first = 3"):
        split(Text(("\n\n\n\nabc",)), TextOptions(first=3))


# Blank edges


@given(st.text(st.sampled_from(" \n\tab"), max_size=12))
def test_blank_lines_go_from_the_edges_only(text: str) -> None:
    lines = text.split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    while lines and not lines[-1].strip():
        lines.pop()
    assert without_blank_edges(text) == "\n".join(lines)
