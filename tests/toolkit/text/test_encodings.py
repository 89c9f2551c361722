from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.config.validation import NoOptions
from versemill.errors import ConfigError, CorpusError
from versemill.text.encodings import (
    ENCODINGS,
    certain_encoding,
    decode,
    guessed_encoding,
    known_encoding,
)
from versemill.text.reading import read_any
from versemill_plugins.corpora.starter import chinese

if TYPE_CHECKING:
    from collections.abc import Callable

LYRICS = "\n".join(chinese(NoOptions()).songs)
TRADITIONAL = """雲想衣裳花想容，春風拂檻露華濃。
若非群玉山頭見，會向瑤臺月下逢。
床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。
紅豆生南國，春來發幾枝。願君多採擷，此物最相思。
君自故鄉來，應知故鄉事。來日綺窗前，寒梅著花未？
"""
MIB = 1 << 20


def in_encoding(text: str, encoding: str) -> str:
    """The lines of a text that an encoding can hold."""

    def fits(line: str) -> bool:
        try:
            line.encode(encoding)
        except UnicodeEncodeError:
            return False
        return True

    return "".join(line + "\n" for line in text.split("\n") if line and fits(line))


def recognised(data: bytes) -> str:
    return certain_encoding(data) or guessed_encoding(data, name="'a.txt'")


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("gbk", "gb18030"),
        ("gb18030", "gb18030"),
        ("big5", "big5"),
        ("big5hkscs", "big5hkscs"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
    ],
)
@pytest.mark.parametrize("text", [LYRICS, TRADITIONAL], ids=["lyrics", "traditional"])
def test_chinese_in_its_usual_encodings_comes_out_right(
    text: str, written: str, taken: str
) -> None:
    expected = in_encoding(text, written)
    assert len(expected) > 100
    data = expected.encode(written)
    encoding = recognised(data)
    # Where nothing of Hong Kong's is in it, it is Big5.
    assert encoding == taken or (encoding, taken) == ("big5", "big5hkscs")
    assert decode(data, name="a", encoding=encoding) == expected


@pytest.mark.parametrize("written", ["gbk", "big5", "utf-16-le", "utf-16"])
def test_an_excerpt_is_recognised_rightly_or_not_at_all(written: str) -> None:
    text = in_encoding(LYRICS, written)
    chance = random.Random(written)
    taken = 0
    for length in (5, 20, 40, 80, 200):
        for _ in range(20):
            start = chance.randrange(len(text) - length)
            excerpt = text[start : start + length]
            data = excerpt.encode(written)
            try:
                read = decode(data, name="a", encoding=recognised(data))
            except CorpusError as error:
                assert error.reason in {"encoding-unsure", "maybe-utf-16"}  # noqa: PT017 - either
                continue
            taken += 1
            assert read == excerpt
    assert taken >= 20  # the longest at least


@pytest.mark.parametrize("ending", ["\n", ""])
def test_a_sample_may_end_within_a_character(ending: str) -> None:
    for shift in range(3):
        text = "a" * shift + (in_encoding(LYRICS, "gbk").replace("\n", ending) * 3)
        assert len(text.encode("gbk")) > 1 << 16
        assert recognised(text.encode("gbk")) == "gb18030"


def test_what_comes_late_is_looked_at_too() -> None:
    data = b"la la la\n" * 20_000 + LYRICS.encode("gbk")
    assert recognised(data) == "gb18030"


def test_big5_with_later_additions_is_recognised() -> None:
    addition = "恒銹裏墻"  # in cp950, not in Big5
    data = TRADITIONAL.encode("big5") + addition.encode("cp950")
    assert decode(data, name="a", encoding=recognised(data)).endswith(addition)


def test_what_cannot_be_told_is_refused_with_how_each_would_read() -> None:
    with pytest.raises(CorpusError, match="cannot be recognised with certainty") as caught:
        recognised("春眠不觉晓".encode("gbk"))
    message = str(caught.value)
    assert "gb18030 (春眠不觉晓…)" in message
    assert " or " in message
    assert f"the right one, one of {', '.join(ENCODINGS)}" in message
    assert caught.value.reason == "encoding-unsure"
    assert "\n" not in message


def test_readings_are_shown_where_they_differ_and_alike_ones_once() -> None:
    with pytest.raises(CorpusError, match="cannot be recognised with certainty") as caught:
        recognised(b"la la la la la la la la caf\xe9\n")
    assert "la café" in str(caught.value)
    french = "Un bel après-midi d'été, où la mer s'endort déjà à Bézier, façades dorées.\n" * 3
    with pytest.raises(CorpusError, match=r"cp1252 \([^)]*après") as caught:
        recognised(french.encode("cp1252"))
    glimpses = re.findall(r" \(([^)]*…)\)", str(caught.value))
    assert len(set(glimpses)) == len(glimpses) > 1


def test_utf8_once_read_as_latin1_is_refused_with_how_to_undo_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(LYRICS.encode().decode("latin-1"))
    with pytest.raises(CorpusError, match=r"decoded wrongly before.*`iconv -f utf-8 -t latin1"):
        read_any(path, limit=MIB)
    undone = path.read_text().encode("latin-1")
    assert undone.decode() == LYRICS


BINARY = {
    "random": lambda: random.Random(3).randbytes(5000),
    "program": lambda: Path(os.path.realpath(sys.executable)).read_bytes()[:200_000],
    "png": lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(4).randbytes(300),
    "jpeg": lambda: b"\xff\xd8\xff\xe0\0\x10JFIF\0" + random.Random(5).randbytes(3000),
    "zeros": lambda: bytes(5000),
}


@pytest.mark.parametrize("kind", BINARY)
def test_binary_data_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(BINARY[kind]())
    with pytest.raises(CorpusError, match=r"'a\.txt|a\.txt' looks like binary data: control"):
        read_any(path, limit=MIB)


@given(st.binary())
def test_any_bytes_end_in_a_text_or_in_one_line(data: bytes) -> None:
    try:
        decode(data, name="a", encoding=recognised(data))
    except CorpusError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(ENCODINGS))
def test_any_text_in_any_encoding_ends_in_a_text_or_in_one_line(text: str, encoding: str) -> None:
    data = text.encode(encoding, "replace")
    try:
        decode(data, name="a", encoding=recognised(data))
    except CorpusError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GBK", "gb18030"),
        ("gb2312", "gb18030"),
        ("GB-18030", "gb18030"),
        ("BIG5", "big5"),
        ("UTF8", "utf-8"),
        ("shift_jis", "cp932"),
        ("EUC-KR", "cp949"),
        ("iso-8859-1", "latin-1"),
    ],
)
def test_encodings_go_by_many_names(name: str, meant: str) -> None:
    assert known_encoding(name) == meant


@pytest.mark.parametrize("name", ["", "klingon", "rot13", "hex", "idna", "unicode_escape", "a\0b"])
def test_no_such_encoding(name: str) -> None:
    with pytest.raises(ConfigError, match="gb18030, big5") as caught:
        known_encoding(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("encoding", ["big5", "cp932", "utf-16-le", "utf-32"])
def test_a_wrong_encoding_is_refused_with_the_place(encoding: str) -> None:
    with pytest.raises(CorpusError, match=rf"a is not {encoding.upper()}: ") as caught:
        decode(LYRICS.encode("gbk"), name="a", encoding=encoding)
    assert caught.value.reason == "encoding-wrong"


def test_utf8_named_latin1_is_refused_with_what_to_do() -> None:
    with pytest.raises(CorpusError, match=r"probably not LATIN-1: control ") as caught:
        decode(LYRICS.encode(), name="a", encoding="latin-1")
    assert caught.value.reason == "encoding-wrong"


# In files


def files(folder: Path, write: Callable[[int], str]) -> Path:
    folder.mkdir()
    for number, song in enumerate(chinese(NoOptions()).songs[:6]):
        (folder / f"{number}.txt").write_bytes(song.encode(write(number)))
    return folder


def test_short_files_of_a_folder_are_recognised_together(tmp_path: Path) -> None:
    folder = files(tmp_path / "songs", lambda number: "gbk" if number else "utf-8")
    (folder / "9.txt").write_bytes("分开".encode("gbk"))
    reading = read_any(folder, limit=MIB)
    assert reading.text.songs[-1] == "分开"
    assert reading.text.songs[0] == chinese(NoOptions()).songs[0].strip("\n")
    assert (reading.encoding, reading.guessed) == ("gb18030 and utf-8", True)


def test_an_encoding_that_is_named_is_that_of_the_files_that_are_not_utf8(tmp_path: Path) -> None:
    folder = files(tmp_path / "songs", lambda _: "gbk")
    reading = read_any(folder, limit=MIB, encoding="GBK")
    assert (reading.encoding, reading.guessed) == ("gb18030", False)
    (folder / "0.txt").write_bytes("分开歌".encode())
    (folder / "1.txt").write_bytes("不分开".encode("utf-16"))
    reading = read_any(folder, limit=MIB, encoding="gbk")
    assert reading.text.songs[:2] == ("分开歌", "不分开")
    assert reading.encoding == "gb18030 and utf-16 and utf-8"
    (folder / "2.txt").write_bytes(b"\xff\xff")
    with pytest.raises(CorpusError, match=r"2\.txt' is not GB18030"):
        read_any(folder, limit=MIB, encoding="gbk")


def test_a_named_encoding_is_taken_for_bytes_that_are_utf8_by_chance(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("la la".encode("utf-16-le"))
    (tmp_path / "b.txt").write_bytes("分开".encode())
    reading = read_any(tmp_path, limit=MIB, encoding="utf-16-le")
    assert reading.text.songs == ("la la", "分开")


def test_the_files_that_had_to_be_guessed_are_named(tmp_path: Path) -> None:
    folder = files(tmp_path / "songs", lambda number: "utf-8" if number == 3 else "gbk")
    guessed = [f"'{number}.txt'" for number in (0, 1, 2, 4, 5)]
    assert list(read_any(folder, limit=MIB).guessed_files) == guessed
    for number in (0, 1, 2, 4, 5):
        (folder / f"{number}.txt").write_bytes(b"d\xe9j\xe0 vu")
    with pytest.raises(CorpusError, match="with certainty") as caught:
        read_any(folder, limit=MIB)
    assert f"{', '.join(guessed[:3])} and 2 more in the folder" in str(caught.value)


def test_newlines_become_spaces_once_songs_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("一\n二\n---\n三\r\n四\n")
    reading = read_any(path, limit=MIB, song_separator="---", newlines="space")
    assert reading.text.songs == ("一 二", "三 四")


def test_utf8_needs_no_detector(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = (
        "import sys; from pathlib import Path; from versemill.text.reading import read_any\n"
        f"read_any(Path({str(path)!r}), limit=10_000)\n"
        "print('charset_normalizer' in sys.modules)"
    )
    for encoding, loaded in (("utf-8", "False"), ("gbk", "True")):
        path.write_bytes(LYRICS[:1000].encode(encoding))
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == loaded


def test_utf16_without_a_mark_is_refused_with_what_would_take_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("la la la\n".encode("utf-16-le"))
    with pytest.raises(CorpusError, match="looks like binary data") as caught:
        read_any(path, limit=MIB)
    assert caught.value.reason == "maybe-utf-16"
    assert read_any(path, limit=MIB, encoding="utf-16-le").text.songs == ("la la la\n",)


def test_a_single_line_is_no_evidence() -> None:
    line = TRADITIONAL.split("\n", maxsplit=1)[0]  # which looks even more like Shift-JIS
    with pytest.raises(CorpusError, match="cannot be recognised with certainty"):
        recognised(line.encode("big5"))


def test_all_of_a_text_counts_not_only_the_part_that_is_looked_at() -> None:
    long = TRADITIONAL * 600
    addition = "恒銹裏墻"  # in cp950, not in Big5
    data = long.encode("big5") + addition.encode("cp950")
    assert decode(data, name="a", encoding=recognised(data)).endswith(addition)
    with pytest.raises(CorpusError, match="in no encoding that can be recognised"):
        recognised(long.encode("big5") + b"\xff\xff")
