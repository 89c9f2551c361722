from __future__ import annotations

import os
import tracemalloc
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readings import MIB, refusal
from versemill.errors import ConfigError, CorpusError
from versemill.text.corpus import Text
from versemill.text.encodings import decode
from versemill.text.reading import read_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


# Files


@pytest.mark.parametrize("name", ["song.txt", "song", "song.lyrics", "song.md"])
def test_a_file_of_any_name_is_one_text_kept_as_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes("\n 分开\n\n不分开\n".encode())
    assert read_path(path, limit=MIB) == Text(("\n 分开\n\n不分开\n",))


def test_byte_order_mark_line_endings_and_composition_are_normalised(corpus: Path) -> None:
    corpus.write_bytes(b"\xef\xbb\xbfcafe\xcc\x81\r\none\rtwo\n")
    assert read_path(corpus, limit=MIB).songs == ("caf\u00e9\none\ntwo\n",)


printable = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t"), min_size=1
)


@given(printable)
def test_decoding_inverts_encoding_up_to_nfc(text: str) -> None:
    expected = unicodedata.normalize("NFC", text).removeprefix("\ufeff")
    assert decode(text.encode(), name="t") in {expected, unicodedata.normalize("NFC", text)}
    assert decode(expected.encode("utf-8-sig"), name="t") == expected


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pathlib import Path

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "song.txt").write_text("la")
    assert read_path(Path("~/song.txt"), limit=MIB).songs == ("la",)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])), st.sampled_from([0x80, 0xC0, 0xFF]))
def test_not_utf8_names_file_and_byte_offset(before: str, byte: int) -> None:
    data = before.encode() + bytes([byte]) + b" la"
    with pytest.raises(CorpusError, match="is not UTF-8") as caught:
        decode(data, name="'song.txt'")
    message = str(caught.value)
    assert caught.value.reason == "not-utf-8"
    assert f"'song.txt' is not UTF-8: byte 0x{byte:02x} at offset {len(before.encode()):,} " in (
        message
    )


def test_another_encoding_is_refused_with_its_place(corpus: Path) -> None:
    corpus.write_bytes(b"\xef\xbb\xbfabc" + "分开".encode("gb18030"))
    message = refusal(corpus)
    assert str(corpus) in message
    assert "offset 6 " in message


@pytest.mark.parametrize("character", ["\x00", "\x1e", "\x1a", "\x0b", "\x7f", "\x85", "\x1b"])
def test_binary_data_is_refused_with_its_place(corpus: Path, character: str) -> None:
    corpus.write_bytes(f"分开{character}la".encode())
    message = refusal(corpus)
    assert "binary data" in message
    assert f"U+{ord(character):04X} at byte offset 6;" in message


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b" \n\n\t\r\n", "\u3000".encode()])
def test_an_empty_text_is_refused(corpus: Path, content: bytes) -> None:
    corpus.write_bytes(content)
    assert "is empty" in refusal(corpus)


@pytest.mark.parametrize("content", ["a", "歌", "\ufeff歌\n\n", " \U0001f3b5 "])
def test_a_single_character_is_refused(corpus: Path, content: str) -> None:
    corpus.write_text(content)
    assert f"is a single character, '{content.strip().strip(chr(0xFEFF)).strip()}'" in refusal(
        corpus
    )
    corpus.write_text(content + "歌")
    assert read_path(corpus, limit=MIB).characters > 1


@pytest.mark.parametrize("name", ["huge.txt", "huge.zip"])
def test_a_gigabyte_is_refused_unread(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    message = refusal(path, limit=64 * MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "1,073,741,824 bytes where 67,108,864 are allowed" in message
    assert "VERSEMILL_CORPUS_LIMIT_MB" in message
    assert peak < MIB


def test_a_missing_path_is_refused(corpus: Path) -> None:
    assert f"no corpus at '{corpus}'" in refusal(corpus)


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert "not a usable path" in refusal(tmp_path / "a\0b")
    assert "cannot read" in refusal(tmp_path / ("a" * 5000))


def test_the_limit_is_exact_and_says_how_to_raise_it(corpus: Path) -> None:
    corpus.write_bytes(b"a" * MIB)
    assert read_path(corpus, limit=MIB).characters == MIB
    corpus.write_bytes(b"a" * (MIB + 1))
    message = refusal(corpus)
    assert "1,048,577 bytes where 1,048,576 are allowed" in message
    assert "VERSEMILL_CORPUS_LIMIT_MB (now 1)" in message


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no /dev/zero")  # noqa: PTH110
def test_a_device_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "zero.txt"
    link.symlink_to("/dev/zero")
    assert "not a regular file" in refusal(link)


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.txt"
    os.mkfifo(fifo)
    assert "not a regular file" in refusal(fifo)
    assert "not a regular file" in refusal(tmp_path)


# Song separators


def test_lines_equal_to_the_separator_stand_between_songs(corpus: Path) -> None:
    corpus.write_text("---\na\n\nb\n\n---\n\n---\n  c --- d\n----\n")
    songs = read_path(corpus, limit=MIB, song_separator="---").songs
    assert songs == ("a\n\nb", "  c --- d\n----")


lyric_lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=5)
songs_of_lines = st.lists(lyric_lines, min_size=1, max_size=5).map("\n".join)


@given(st.lists(songs_of_lines.filter(lambda s: s.strip() and "###" not in s), min_size=2))
def test_songs_joined_by_separators_come_back(songs: list[str]) -> None:
    from versemill.normalisation import normalised
    from versemill.text.splitting import songs_between, without_blank_edges

    expected = tuple(without_blank_edges(normalised(song)) for song in songs)
    assert songs_between(normalised("\n###\n".join(songs)), "###") == expected


def test_a_separator_that_never_occurs_is_refused(corpus: Path) -> None:
    corpus.write_text("a\n----\n ---\nb\n")
    assert "no line of" in refusal(corpus, song_separator="---")
    assert "no blank line stands between" in refusal(corpus, song_separator="")
    assert "no blank line stands between" in refusal(corpus, song_separator="  ")


@pytest.mark.parametrize("separator", ["---", "--- ", "---\t"])
def test_white_space_at_line_ends_hides_no_separator(corpus: Path, separator: str) -> None:
    corpus.write_text("a\n--- \nb\n---\u3000\t\nc\n---\nd \n")
    assert read_path(corpus, limit=MIB, song_separator=separator).songs == ("a", "b", "c", "d ")


@pytest.mark.parametrize("separator", ["", " ", "\u3000"])
def test_an_empty_separator_means_blank_lines(corpus: Path, separator: str) -> None:
    corpus.write_text("\na\nb\n \t\nc\n\n\u3000\nd\n\n")
    assert read_path(corpus, limit=MIB, song_separator=separator).songs == ("a\nb", "c", "d")


def test_a_separator_of_several_lines_is_refused(corpus: Path) -> None:
    corpus.write_text("a")
    with pytest.raises(ConfigError, match="song_separator"):
        read_path(corpus, limit=MIB, song_separator="-\n-")


# Folders


def test_a_folder_is_its_text_files_by_name_one_song_each(corpus: Path) -> None:
    corpus.mkdir()
    for name, text in {
        "b.txt": "\n\nsecond\n",
        "a.TXT": "\ufefffirst\n\nverse\n",
        "c.txt": " \n",
        "d.md": "no",
        ".e.txt": "no",
    }.items():
        (corpus / name).write_text(text)
    assert read_path(corpus, limit=MIB).songs == ("first\n\nverse", "second")


def test_a_separator_splits_the_files_of_a_folder_too(corpus: Path) -> None:
    corpus.mkdir()
    (corpus / "1.txt").write_text("a\n#\nb\n")
    (corpus / "2.txt").write_text("c\n")
    assert read_path(corpus, limit=MIB, song_separator="#").songs == ("a", "b", "c")


def test_links_out_of_a_folder_are_not_followed(corpus: Path, tmp_path: Path) -> None:
    corpus.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (corpus / "a.txt").write_text("la")
    (corpus / "b.txt").symlink_to(tmp_path / "secret.txt")
    (corpus / "c.txt").symlink_to(corpus / "nowhere")
    (corpus / "d.txt").symlink_to("d.txt")
    (corpus / "e.txt").symlink_to("a.txt")
    assert read_path(corpus, limit=MIB).songs == ("la", "la")
    (corpus / "a.txt").unlink()
    assert "links out of it are not followed" in refusal(corpus)


def test_a_linked_folder_is_read(corpus: Path, tmp_path: Path) -> None:
    corpus.mkdir()
    (corpus / "a.txt").write_text("la")
    link = tmp_path / "link"
    link.symlink_to(corpus, target_is_directory=True)
    assert read_path(link, limit=MIB).songs == ("la",)


def test_a_folder_without_texts_lists_what_it_has(corpus: Path) -> None:
    corpus.mkdir()
    assert "no .txt file" in refusal(corpus)
    (corpus / "notes.md").write_text("x")
    assert "'notes.md'" in refusal(corpus)


def test_a_folder_of_empty_texts_is_refused(corpus: Path) -> None:
    corpus.mkdir()
    (corpus / "a.txt").write_text("\n")
    assert "is empty" in refusal(corpus)


def test_the_limit_holds_for_a_folder_as_a_whole(corpus: Path) -> None:
    corpus.mkdir()
    for name in ("a.txt", "b.txt"):
        (corpus / name).write_bytes(b"a" * (MIB // 2 + 1))
    assert "1,048,578 bytes" in refusal(corpus)


def test_bad_text_in_a_folder_names_its_file(corpus: Path) -> None:
    corpus.mkdir()
    (corpus / "a.txt").write_text("la")
    (corpus / "b.txt").write_bytes(b"\xff")
    assert f"'{corpus / 'b.txt'}' is not UTF-8" in refusal(corpus)
