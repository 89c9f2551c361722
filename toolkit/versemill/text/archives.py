"""Reads the bytes of one text from a plain file, a zip or a gzip file, up to a limit."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from versemill.errors import CorpusError
from versemill.phrases import shortened
from versemill.settings import CORPUS_LIMIT
from versemill.text.formats import document_in, refuse_packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import SupportsRead

_CHUNK = 1 << 20  # bytes read at a time
_PACKED_EXTRA = 16 << 20  # an archive may be so much larger than the text allowed in it
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # an archive with entries, and an empty one
_GZIP_START = b"\x1f\x8b"
_NAMES_SHOWN = 5
_ENCRYPTED = 0x1  # bit of the flags of a zip entry
_DAMAGED = (  # what `zipfile` and `gzip` raise over malformed archives
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class RawFile:
    """One file as it was read.

    Attributes:
        name: its name in messages.
        ending: of its name, once unpacked: `.txt`, empty, or None where it has no name.
        data: its bytes.
    """

    name: str
    ending: str | None
    data: bytes


class Budget:
    """Counts the bytes read and refuses those above the limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit

    def refuse(self, name: str, size: str) -> CorpusError:
        """The error that says so."""
        return CorpusError(
            f"{name} is too large: {size} bytes where {self.limit:,} are allowed; "
            f"shorten it or raise {CORPUS_LIMIT} (now {self.limit / 2**20:g})"
        )

    def announced(self, name: str, size: int) -> None:
        """Refuses a file whose stated size is too large."""
        if size > self.left:
            raise self.refuse(name, f"{self.limit - self.left + size:,}")

    def announced_packed(self, name: str, size: int) -> None:
        """Refuses an archive that is far larger than the text that may be in it."""
        if size > self.limit + _PACKED_EXTRA:
            raise self.refuse(name, f"{size:,}")

    def read(self, file: SupportsRead[bytes], name: str) -> bytes:
        """All of `file`, whatever size it announced; never more than a chunk above the limit."""
        chunks: list[bytes] = []
        while chunk := file.read(_CHUNK):
            if len(chunk) > self.left:
                raise self.refuse(name, f"more than {self.limit:,}")
            self.left -= len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)


def read_file(file: IO[bytes], path: PurePosixPath, name: str, budget: Budget) -> RawFile:
    """The text in an open file, unpacked.

    Args:
        file: can be read from any place.
        path: its path, of which the ending is used.
        name: its name in messages.
        budget: how much may be read.

    Raises:
        CorpusError: it is too large, or an archive that is damaged or not read.
    """
    start = file.read(len(_ZIP_STARTS[0]))
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    ending = path.suffix.lower()
    if start in _ZIP_STARTS or ending == ".zip":
        return _zipped(file, size, name, budget)
    if start.startswith(_GZIP_START) or ending == ".gz":
        return _gzipped(file, size, path, name, budget)
    budget.announced(name, size)
    data = budget.read(file, name)
    refuse_packed(name, data)
    return RawFile(name, ending, data)


def read_stream(stream: IO[bytes], name: str, budget: Budget) -> RawFile:
    """The text that comes out of a stream; raises as `read_file` does."""
    start = stream.read(len(_ZIP_STARTS[0]))
    packed = start in _ZIP_STARTS or start.startswith(_GZIP_START)
    allowed = Budget(budget.limit + (_PACKED_EXTRA if packed else 0))
    data = start + allowed.read(stream, name)
    if packed:
        return read_file(io.BytesIO(data), PurePosixPath(), name, budget)
    budget.announced(name, len(data))
    refuse_packed(name, data)
    return RawFile(name, None, data)


def quoted(name: object) -> str:
    """A file name in one line, whatever characters it holds."""
    return repr(str(name))


def some(names: Sequence[str]) -> str:
    """A few of `names` for a message, in brackets."""
    if not names:
        return ""
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f" ({', '.join(quoted(shortened(name)) for name in names[:_NAMES_SHOWN])}{more})"


def _gzipped(file: IO[bytes], size: int, path: PurePosixPath, name: str, budget: Budget) -> RawFile:
    budget.announced_packed(name, size)
    try:
        with gzip.open(file) as unpacked:
            data = budget.read(unpacked, name)
    except CorpusError:
        raise
    except _DAMAGED as error:
        raise CorpusError(f"{name} is not valid gzip: {error}; pack it again") from None
    refuse_packed(name, data)
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return RawFile(name, inner.suffix.lower() if path.name else None, data)


class _InShortReads(io.BufferedIOBase):
    """A file from which at most a chunk is read at a time.

    `zipfile` reads an archive's list of entries at once and makes an object of each: without a
    bound, a list of millions would fill the memory before it can be refused.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes; raises `ValueError` where more than a chunk was wanted."""
        most = _CHUNK + 1
        data = self._file.read(most if size is None or size < 0 else min(size, most))
        if len(data) == most:
            raise ValueError("its list of entries is too long")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file does."""
        return self._file.tell()

    def seekable(self) -> bool:
        """True."""
        return True


def _zipped(file: IO[bytes], size: int, name: str, budget: Budget) -> RawFile:
    budget.announced_packed(name, size)  # its list of entries alone could fill the memory
    try:
        with zipfile.ZipFile(_InShortReads(file)) as archive:
            entry = _only_text(archive.infolist(), name)
            inner = f"{quoted(shortened(entry.filename))} in {name}"
            budget.announced(inner, entry.file_size)
            with archive.open(entry) as member:
                data = budget.read(member, inner)
    except CorpusError:
        raise
    except _DAMAGED as error:
        raise CorpusError(f"{name} is not a valid zip archive: {error}; pack it again") from None
    refuse_packed(inner, data)
    return RawFile(inner, PurePosixPath(entry.filename).suffix.lower(), data)


def _only_text(entries: Sequence[zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    document_in({entry.filename for entry in entries}, name)
    files = [entry for entry in entries if not entry.is_dir() and not _ignored(entry.filename)]
    texts = [entry for entry in files if entry.filename.lower().endswith(".txt")] or files
    if len(texts) != 1:
        count = f"{len(texts):,} texts" if texts else "no text"
        raise CorpusError(
            f"{name} holds {count}{some([t.filename for t in texts])}; "
            "pack exactly one, or unpack them into a folder and give the folder"
        )
    (entry,) = texts
    if stat.S_ISLNK(entry.external_attr >> 16):  # where Unix keeps the file's mode
        raise CorpusError(f"{quoted(shortened(entry.filename))} in {name} is a link, not a text")
    if entry.flag_bits & _ENCRYPTED:
        raise CorpusError(f"{name} is encrypted; pack it without a password")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        # The others may unpack a few bytes to megabytes at once, past any limit.
        raise CorpusError(
            f"{name} uses compression method {entry.compress_type}; "
            "allowed are stored (0) and deflate (8): pack it again"
        )
    return entry


def _ignored(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") and part != ".." for part in parts)
