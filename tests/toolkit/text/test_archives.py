"""Texts in gzip and from streams, within the bounds that zip archives have."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from readings import MIB, refusal, zipped
from versemill.errors import CorpusError
from versemill.text.reading import read_any, read_path

if TYPE_CHECKING:
    from pathlib import Path


def test_a_gzip_file_is_read_as_what_is_in_it(tmp_path: Path) -> None:
    for name, content, expected in (
        ("a.txt.gz", "la\nli\n", ("la\nli\n",)),
        ("a.jsonl.gz", '{"text": "la"}\n{"text": "li"}', ("la", "li")),
        ("a.JSON.GZ", '["la", "li"]', ("la", "li")),
        ("a.gz", '["la"]', ('["la"]',)),
    ):
        (tmp_path / name).write_bytes(gzip.compress(content.encode()))
        assert read_path(tmp_path / name, limit=MIB).songs == expected
    (tmp_path / "a.txt").write_bytes(gzip.compress(b"la ") + gzip.compress(b"la"))
    assert read_path(tmp_path / "a.txt", limit=MIB).songs == ("la la",)


def test_a_gzip_bomb_is_refused_by_what_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(bytes(256 * MIB)))
    tracemalloc.start()
    message = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 1,048,576 bytes where 1,048,576 are allowed" in message
    assert peak < 8 * MIB


def test_gzip_far_larger_than_its_text_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    with path.open("wb") as file:
        file.write(gzip.compress(b"la"))
        file.truncate(1 << 30)
    assert "1,073,741,824 bytes where 1,048,576 are allowed" in refusal(path)


@pytest.mark.parametrize(
    "damaged",
    [
        b"plain",
        gzip.compress(b"la" * 100)[:-9],
        gzip.compress(b"la")[:-8] + b"12345678",
        b"\x1f\x8b",
    ],
    ids=["plain", "cut off", "checksum", "empty"],
)
def test_damaged_gzip_is_refused(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(damaged)
    assert "is not valid gzip" in refusal(path)


def test_what_is_packed_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(gzip.compress(b"la")))
    assert "is packed with gzip, which is not read; unpack it first" in refusal(path)
    zipped(tmp_path / "a.zip", {"a.txt": gzip.compress(b"la")})
    assert "is packed with gzip" in refusal(tmp_path / "a.zip")


def test_a_zip_may_hold_a_format_that_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a/b.json": b'["la", "li"]'})
    assert read_path(path, limit=MIB).songs == ("la", "li")


def test_a_stream_is_read_like_a_file(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.txt": b"la la"}).read_bytes()
    for content in (b"la la", gzip.compress(b"la la"), archive):
        reading = read_any(tmp_path / "input", limit=MIB, stream=io.BytesIO(content))
        assert reading.text.songs == ("la la",)


@pytest.mark.parametrize(
    "content", [b"a" * (MIB + 1), gzip.compress(bytes(2 * MIB)), b""], ids=range(3)
)
def test_what_comes_out_of_a_stream_is_bounded(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CorpusError, match=r"where 1,048,576 are allowed|is empty"):
        read_any(tmp_path / "input", limit=MIB, stream=io.BytesIO(content))


def test_an_endless_stream_is_not_read_to_its_end(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        def __init__(self, start: bytes) -> None:
            self.start = start
            self.given = 0

        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= 2 * MIB
            data, self.start = self.start or b"a" * size, b""
            self.given += len(data)
            assert self.given < 64 * MIB
            return data

    for start in (b"", b"\x1f\x8b\x08\x00"):
        with pytest.raises(CorpusError, match="is too large"):
            read_any(tmp_path, limit=MIB, stream=Endless(start))  # type: ignore[arg-type]
