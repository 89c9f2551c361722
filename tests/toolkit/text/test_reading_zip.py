"""Zip archives as corpora: one text in them is read, whatever else they hold is refused."""

from __future__ import annotations

import io
import os
import stat
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readings import MIB, refusal, zipped
from versemill.errors import CorpusError
from versemill.text.reading import read_path

if TYPE_CHECKING:
    from pathlib import Path


def test_a_zip_with_one_text_is_that_text(tmp_path: Path) -> None:
    entries = {
        "songs/": b"",
        "songs/lyrics.TXT": b"\xef\xbb\xbfla\r\nla",
        "__MACOSX/songs/._lyrics.txt": b"\0\1",
        "songs/.DS_Store": b"\0",
        ".hidden/x.txt": b"x",
        "songs/cover.jpg": b"\xff\xd8",
    }
    assert read_path(zipped(tmp_path / "a.zip", entries), limit=MIB).songs == ("la\nla",)


def test_a_zip_is_known_by_its_content(tmp_path: Path) -> None:
    path = zipped(tmp_path / "lyrics", {"text": b"la"})
    assert read_path(path, limit=MIB).songs == ("la",)


def test_a_zip_with_no_text_is_refused(tmp_path: Path) -> None:
    assert "no text" in refusal(zipped(tmp_path / "a.zip", {}))
    assert "no text" in refusal(zipped(tmp_path / "b.zip", {"x/": b"", ".a.txt": b"x"}))


def test_a_zip_with_several_texts_lists_some(tmp_path: Path) -> None:
    entries = {f"song{i}.txt": b"la" for i in range(9)}
    message = refusal(zipped(tmp_path / "a.zip", entries))
    assert "9 texts ('song0.txt', " in message
    assert "'song4.txt' and 4 more)" in message
    assert "song5" not in message


def test_nothing_is_written_by_reading_a_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "in"
    inner.mkdir()
    monkeypatch.chdir(inner)
    path = zipped(inner / "a.zip", {"../outside.txt": b"la"})
    assert read_path(path, limit=MIB).songs == ("la",)
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "a.zip"]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../../up.txt",
        r"a\..\up.txt",
        r"C:\up.txt",
        "C:up.txt",
        r"\\host\up.txt",
        "a/../../up.txt",
        "up.txt\n\x1b[2J.txt",
        "a" * 60_000,
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_a_name_that_leads_out_is_only_a_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = zipped(folder / "a.zip", {name: b"la"})
    assert read_path(path, limit=MIB).songs == ("la",)
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "a.zip"]
    message = refusal(zipped(path, {name: b"la\xff"}))
    assert "is not UTF-8" in message
    assert "\x1b" not in message
    assert len(message) < 1000 + len(str(path))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("a.txt")
    link.create_system = 3  # Unix
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, b"/etc/passwd")
    assert "'a.txt' in" in refusal(path)
    assert "is a link, not a text" in refusal(path)


def test_an_archive_in_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a.txt": b"la"}, compresslevel=0)
    path = zipped(tmp_path / "a.zip", {"inner.zip": inner.read_bytes()})
    assert "'inner.zip' in" in refusal(path)


def test_entries_that_share_their_bytes_are_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"a" * MIB)
        for number in range(50):  # as in a bomb without nesting: one kernel, many names
            copy = zipfile.ZipInfo(f"{number}.bin")
            first = archive.getinfo("a.txt")
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(copy, field, getattr(first, field))
            archive.filelist.append(copy)
    try:
        assert read_path(path, limit=MIB).characters == MIB
    except CorpusError as error:
        assert "overlap" in str(error).lower()  # noqa: PT017 - newer Pythons refuse


def test_a_list_of_entries_made_to_fill_the_memory(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": b"la"})
    whole = path.read_bytes()
    start, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    entry = whole[start:end]
    count = 8 * MIB // len(entry)
    tail = bytearray(whole[end:])
    tail[12:16] = struct.pack("<L", count * len(entry))
    path.write_bytes(whole[:start] + entry * count + tail)
    tracemalloc.start()
    message = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "list of entries is too long" in message
    assert peak < 4 * MIB


def test_the_limit_counts_uncompressed_bytes(tmp_path: Path) -> None:
    fits = zipped(tmp_path / "a.zip", {"a.txt": b"a" * MIB})
    assert read_path(fits, limit=MIB).characters == MIB
    noise = bytes(33 + b % 90 for b in os.urandom(MIB))
    stored = zipped(tmp_path / "b.zip", {"b.txt": noise}, compresslevel=0)
    assert stored.stat().st_size > MIB
    assert read_path(stored, limit=MIB).characters == MIB


def test_a_zip_bomb_is_refused_unread(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a.txt": bytes(100 * MIB)})
    tracemalloc.start()
    message = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "104,857,600 bytes where 1,048,576 are allowed" in message
    assert peak < 4 * MIB


def test_a_zip_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a.txt": b"a" * (100 * MIB)})
    size = struct.pack("<L", 100 * MIB)
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<L", 1000)))
    tracemalloc.start()
    message = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "not a valid zip archive" in message
    assert peak < 4 * MIB


def test_an_archive_far_above_the_limit_is_not_even_listed(tmp_path: Path) -> None:
    path = tmp_path / "big.zip"
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(40 * MIB)
    assert "41,943,040 bytes" in refusal(path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": b"la"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "encrypted; pack it without a password" in refusal(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.txt", b"la" * 100)
    assert f"compression method {method}" in refusal(path)


def test_a_corrupt_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": os.urandom(5000)}, compresslevel=0)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    assert "not a valid zip archive" in refusal(path)
    path.write_bytes(good[:2000] + bytes([good[2000] ^ 1]) + good[2001:])
    assert "not a valid zip archive" in refusal(path)
    path.write_bytes(b"")
    assert "not a valid zip archive" in refusal(path)


@given(st.data())
def test_a_damaged_zip_never_ends_in_anything_but_an_answer_or_a_corpus_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"la la la " * 20)
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(damaged)
    try:
        read_path(path, limit=MIB)
    except CorpusError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def test_not_utf8_in_a_zip_names_both(tmp_path: Path) -> None:
    message = refusal(zipped(tmp_path / "a.zip", {"songs.txt": b"la\xff"}))
    assert f"'songs.txt' in '{tmp_path / 'a.zip'}' is not UTF-8" in message
    assert "offset 2 " in message
