from __future__ import annotations

import re
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.config.validation import NoOptions
from versemill.text import inspection
from versemill.text.corpus import Text
from versemill.text.inspection import Oddity, inspect
from versemill.text.splitting import songs_between
from versemill_plugins.corpora.starter import chinese, english


def odd(*songs: str) -> dict[str, Oddity]:
    return {each.kind: each for each in inspect(Text(songs)).oddities}


def test_figures() -> None:
    found = inspect(Text(("晨光\n\n la la\n", "雨\n")))
    assert (found.characters, found.distinct_characters, found.size) == (13, 7, 19)
    assert (found.songs, found.lines) == (2, 3)


def test_longest_lines_with_their_places_and_the_earlier_first() -> None:
    found = inspect(Text(("a\n\nabc\n", "ab\nxyz\n" + "w" * 100)))
    assert [
        (line.characters, line.place.song, line.place.line) for line in found.longest_lines
    ] == [(100, 2, 3), (3, 1, 3), (3, 2, 2)]
    assert found.longest_lines[0].place.excerpt == "w" * 60


songs = st.lists(st.text(alphabet="ab \n", max_size=30), min_size=1, max_size=4)


@given(songs, st.sampled_from([1, 3, 1 << 20]))
def test_lines_are_counted_as_if_at_once(texts: list[str], block: int) -> None:
    lines = [line.strip() for text in texts for line in text.split("\n") if line.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspection, "_BLOCK", block)
        found = inspect(Text(tuple(texts)))
    assert found.lines == len(lines)
    assert found.repeated_lines == len(lines) - len(set(lines))
    assert [each.characters for each in found.longest_lines] == sorted(
        map(len, lines), reverse=True
    )[:3]
    most = max((lines.count(line) for line in lines), default=0)
    if most > 1:
        assert found.most_repeated[0].times == most
        assert all(lines.count(each.text) == each.times for each in found.most_repeated)
    else:
        assert found.most_repeated == ()


def test_songs_that_differ_in_white_space_only_are_repeated() -> None:
    assert inspect(Text(("a b\nc", "ab c\n", "abd", "a\u3000bc"))).repeated_songs == 2
    assert inspect(Text(("a",))).repeated_songs == 0


@pytest.mark.parametrize("corpus", [chinese, english], ids=["zh", "en"])
def test_the_bundled_lyrics_are_not_suspicious(corpus: object) -> None:
    found = inspect(corpus(NoOptions()))  # type: ignore[operator]
    assert found.oddities == ()
    assert found.repeated_songs == 0


@pytest.mark.parametrize(
    ("text", "kind", "piece", "mend"),
    [
        ("春\ufffd\ufffd晓", "lost", "\ufffd", "in its right encoding"),
        ("锟斤拷锟斤拷", "mojibake", "锟斤拷", "in its right encoding"),
        ("春□□晓", "placeholder", "□", "write what is missing"),
        ("a\x0bb", "control", "\x0b", "delete"),
        ("a\x85b", "control", "\x85", "delete"),
        ("a\ue000b", "private", "\ue000", "big5hkscs"),
        ("a\u200bb", "invisible", "\u200b", "delete"),
        ("a\ufeffb", "invisible", "\ufeff", "delete"),
        ("a\xadb", "invisible", "\xad", "delete"),
        ("a\xa0b", "space", "\xa0", "plain space"),
        ("a\u2028b", "space", "\u2028", "line end"),
        ("春，眠，不,觉", "width", ",", "one form"),
        ("春1１11", "width", "１", "one form"),
        ("a b\u3000c d", "width", "\u3000", "one form"),
        ("カカｶ", "width", "ｶ", "one form"),
    ],
)
def test_what_is_odd(text: str, kind: str, piece: str, mend: str) -> None:
    found = odd("first\n", f"second\n{text}")
    assert list(found) == [kind]
    assert found[kind].found[0][0] == piece
    assert found[kind].times == sum(text.count(each) for each, _ in found[kind].found)
    assert (found[kind].first.song, found[kind].first.line) == (2, 2)
    assert text.strip() in found[kind].first.excerpt
    assert mend in found[kind].mend


WRONG = [  # read as, written as
    ("latin-1", "utf-8", "été à Noël, où fleurit l'été"),
    ("cp1252", "utf-8", "la mer … l’été «où»"),
    ("gb18030", "utf-8", "我的歌，你的歌。\n他的歌，她的歌。\n"),
    ("big5", "utf-8", "我的歌，你的歌，他的歌，她的歌。\n"),
    ("cp932", "utf-8", "きみのうた、ぼくのうた。"),
    ("gb18030", "cp932", "きみのうたを、ぼくのうたは。"),
    ("cp1252", "gb18030", "我的歌，你的歌"),
    ("latin-1", "cp1251", "Я помню чудное мгновенье"),
    ("big5", "gb18030", "我的歌，我的海，我的风。"),
]


@pytest.mark.parametrize(("read", "written", "text"), WRONG)
def test_text_that_was_decoded_wrongly(read: str, written: str, text: str) -> None:
    wrong = text.encode(written).decode(read, "replace")
    assert "mojibake" in odd(wrong)
    assert "mojibake" not in odd(text)


@pytest.mark.parametrize(
    "text",
    [
        "きみのうた、ぼくのうたは、夜明けの空に。風を聞いている。",
        "我的歌，你的歌。著縺繾綣，傍晚偵查，满腔热血；丄",
        "Île, été, garçon, « où »",
        "São João, amanhã – Ângela",
        "élève né à ça, où ôté",
        "Größe, ærø, naïve",
        "ðað, Þór",
    ],
)
def test_other_languages_are_not_taken_for_wrong_decoding(text: str) -> None:
    assert "mojibake" not in odd(text)


def test_rare_characters_of_a_long_text_are_not_taken_for_wrong_decoding() -> None:
    assert "mojibake" not in odd("偺們縺丄" * 4 + "晨光落在窗台\n" * 200_000)
    assert "mojibake" in odd("我的歌，".encode().decode("gb18030") * 4 + "晨光\n" * 20_000)


def test_one_endless_line() -> None:
    found = odd("la " * 400_000)
    assert list(found) == ["long line"]
    assert "1,199,999" in found["long line"].what
    assert "line ends" in found["long line"].mend


@pytest.mark.slow
def test_sixteen_megabytes_take_seconds_and_little_memory() -> None:
    line = "晨光落在窗台，雨停了以后\n"
    text = Text((line * (16 * 2**20 // len(line.encode())),))
    began = time.monotonic()
    inspect(text)
    assert time.monotonic() - began < 15  # about 0.6 s on an idle machine
    tracemalloc.start()
    inspect(Text((text.songs[0][: 2**20],)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20


def test_work_does_not_grow_with_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(pattern: str, *flags: int) -> re.Pattern[str]:
        assert len(pattern) < 10_000
        return compile_(pattern, *flags)

    compile_ = re.compile
    monkeypatch.setattr(inspection.re, "compile", compiled)
    wrong = "".join(
        chr(lead) + chr(second) + chr(third)
        for lead in range(0xE1, 0xED)
        for second in range(0x80, 0xC0)
        for third in range(0x80, 0xC0)
    )
    found = odd("plain\n" + wrong)["mojibake"]
    assert len(found.found) == 12 * 64 * 64
    assert found.first.line == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("la\n---\nli\n--- \nlo", ("---", 3)),
        ("la\n***\nli\n***\nli\n---\nlo\n---", ("***", 3)),
        ("chorus\nchorus\n\nla\n \t\nli\n", ("", 3)),
        ("---\n---\nla\n\nli", ("", 2)),
        ("la\nla\n", (None, 1)),
        ("\n\nla\n\n", (None, 1)),
        ("la\n—\nli", (None, 1)),
        ("42\nla\n42\nli\n42\n", (None, 1)),
    ],
)
def test_what_most_likely_stands_between_songs(text: str, expected: tuple[str | None, int]) -> None:
    found = inspect(Text((text,)))
    assert (found.likely_separator, found.pieces) == expected
    if found.likely_separator is not None:
        assert len(songs_between(text, found.likely_separator)) == found.pieces


def test_songs_that_are_told_apart_need_no_separator() -> None:
    found = inspect(Text(("la\n---\nli\n---\nlo", "b")))
    assert (found.likely_separator, found.pieces) == (None, 2)


@pytest.mark.parametrize(
    "text",
    [
        "[00:01.00]la\n[00:02.50] li\n[01:03]lo\n",
        "1\n00:00:01,000 --> 00:00:02,000\nla\n" * 3,
        '[\n  {\n    "title": "la",\n    "paragraphs": [\n "year": 3\n',
        '{"text": "la"}\n{"text": "li"}\n{"text": ["lo"]}\n',
        "<p>la</p>\n<br>li\n",
    ],
)
def test_marks_of_another_format_are_odd(text: str) -> None:
    assert odd(text).keys() == {"markup"}


@pytest.mark.parametrize(
    "text",
    ["[Verse 1]\nla <3\n[Chorus: all]\nI <3 you\n(x2)\n", 'He said: "la"\n"li": she said\n<lo>\n'],
)
def test_what_lyrics_have_is_no_markup(text: str) -> None:
    assert "markup" not in odd(text)
