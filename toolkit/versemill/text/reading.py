"""Reading a corpus from a path: a text file, a zip with one text, or a folder of text files.

What is read is not trusted: nothing is extracted to disk, sizes are limited by the bytes that come
out of an archive, and anything that is not plain text is refused with the place where.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Literal

from versemill.errors import ConfigError, CorpusError
from versemill.files import IrregularFileError, open_regular
from versemill.settings import CORPUS_LIMIT
from versemill.text.corpus import Text
from versemill.text.encodings import (
    UTF_8,
    certain_encoding,
    decode,
    guessed_encoding,
    known_encoding,
)
from versemill.text.splitting import normalised, songs_between, without_blank_edges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CHUNK = 1 << 20  # bytes read at a time
_ZIP_EXTRA = 16 << 20  # an archive may be so much larger than the text allowed in it
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # an archive with entries, and an empty one
_NAMES_SHOWN = 5
_NAME_SHOWN = 200  # characters
_ENCRYPTED = 0x1  # bit of the flags of a zip entry
_DAMAGED = (  # what `zipfile` raises over malformed archives
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
class Reading:
    """What was read.

    Attributes:
        text: the corpus.
        encoding: of its files; several are joined by ` and `.
        guessed: whether an encoding was neither given nor certain.
    """

    text: Text
    encoding: str
    guessed: bool = False


def read_path(path: Path, *, limit: int, song_separator: str | None = None) -> Text:
    r"""Reads a corpus: UTF-8 (a byte order mark is dropped), in NFC, lines ending in `\n`.

    - A file of any name that is not a zip archive is one text, kept as it is.
    - A zip archive must hold exactly one text: its only `*.txt`, or its only file. Folders,
      `__MACOSX` and names with a leading dot do not count.
    - A folder is read as its `*.txt` files, sorted by name, each one song. Links that lead out of
      it are not followed.

    With `song_separator` the lines equal to it stand between songs. Where song boundaries are
    known, blank lines at the edges of songs and empty songs are dropped.

    Args:
        path: where the corpus is; `~` is the user's home.
        limit: most bytes read, after decompression.
        song_separator: one line of text.

    Raises:
        CorpusError: it is not there, not readable, not UTF-8, not text, empty or a single
            character, larger than `limit`, or has no line equal to `song_separator`.
        ConfigError: `song_separator` is more than one line.
    """
    return read_any(path, limit=limit, song_separator=song_separator, encoding=UTF_8).text


def read_any(
    path: Path,
    *,
    limit: int,
    song_separator: str | None = None,
    encoding: str | None = None,
    newlines: Literal["keep", "space"] = "keep",
) -> Reading:
    """Reads a corpus as `read_path` does, whatever encoding it is in.

    Args:
        path: where the corpus is.
        limit: most bytes read, after decompression.
        song_separator: one line of text.
        encoding: of all its files; recognised when None. The files of a folder that have to be
            guessed are taken to be in one encoding.
        newlines: keep line ends, or turn each into a space once the songs are told apart.

    Raises:
        CorpusError: as `read_path`, or its encoding cannot be told.
        ConfigError: as `read_path`, or there is no such encoding.
    """
    separator = _checked(song_separator)
    chosen = None if encoding is None else known_encoding(encoding)
    with _readable(path):
        path = path.expanduser()
        folder = path.is_dir()
        files = _folder_files(path, limit) if folder else [_file(path, limit)]
    encodings, guessed = _encodings(files, chosen, path)
    texts = [
        decode(data, name=name, encoding=each)
        for (name, data), each in zip(files, encodings, strict=True)
    ]
    songs = _songs(texts, separator, path, folder=folder)
    if newlines == "space":
        songs = tuple(song.replace("\n", " ") for song in songs)
    return Reading(Text(songs), " and ".join(sorted(set(encodings))), guessed)


def _encodings(
    files: Sequence[tuple[str, bytes]], chosen: str | None, path: Path
) -> tuple[list[str], bool]:
    """The encoding of each file, and whether any was guessed."""
    if chosen is not None:
        return [chosen] * len(files), False
    certain = [certain_encoding(data) for _, data in files]
    unsure = [data for (_, data), known in zip(files, certain, strict=True) if known is None]
    if not unsure:
        return [known or UTF_8 for known in certain], False
    joined = unsure[0] if len(unsure) == 1 else b"\n".join(unsure)
    guess = guessed_encoding(joined, name=files[0][0] if len(files) == 1 else _quoted(path))
    return [known or guess for known in certain], True


def _songs(texts: list[str], separator: str | None, path: Path, *, folder: bool) -> tuple[str, ...]:
    if separator is not None:
        check_separator(texts, separator, path)
        texts = [song for text in texts for song in songs_between(text, separator)]
    elif folder:
        texts = [without_blank_edges(text) for text in texts]
    songs = tuple(text for text in texts if text.strip())
    if not songs:
        raise CorpusError(f"{_quoted(path)} is empty; a corpus needs text")
    if len(songs) == 1 and len(songs[0].strip()) == 1:
        raise CorpusError(
            f"{_quoted(path)} is a single character, {songs[0].strip()!r}; a corpus needs more: "
            "models learn which character follows another"
        )
    return songs


def check_separator(texts: Sequence[str], separator: str, name: object) -> None:
    """Raises `CorpusError` unless a line of what is called `name` equals `separator`."""
    line = f"\n{normalised(separator)}\n"
    if not any(line in f"\n{text}\n" for text in texts):
        raise CorpusError(
            f"no line of {_quoted(name)} equals the song separator {separator!r}; "
            "correct song_separator or leave it out"
        )


class _Budget:
    """Counts the bytes read and refuses those above the limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = limit

    def refuse(self, name: str, size: str) -> CorpusError:
        return CorpusError(
            f"{name} is too large: {size} bytes where {self.limit:,} are allowed; "
            f"shorten it or raise {CORPUS_LIMIT} (now {self.limit / 2**20:g})"
        )

    def announced(self, name: str, size: int) -> None:
        """Refuses what already says that it is too large."""
        if size > self.left:
            raise self.refuse(name, f"{self.limit - self.left + size:,}")

    def read(self, file: IO[bytes], name: str) -> bytes:
        """All of `file`, whatever size it announced; never more than a chunk above the limit."""
        chunks: list[bytes] = []
        while chunk := file.read(_CHUNK):
            if len(chunk) > self.left:
                raise self.refuse(name, f"more than {self.limit:,}")
            self.left -= len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)


class _InShortReads(io.BufferedIOBase):
    """A file of which nobody reads much at a time.

    `zipfile` reads an archive's list of entries at once and makes an object of each: without a
    bound, a list of millions would fill the memory before anything can be refused.
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


def _checked(separator: str | None) -> str | None:
    if separator is not None and ("\n" in separator or "\r" in separator):
        raise ConfigError("corpus_options.song_separator", separator, "one line of text")
    return None if separator is None else normalised(separator)


def _quoted(name: object) -> str:
    """A file name in one line, whatever characters it holds."""
    return repr(str(name))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses into a `CorpusError`."""
    try:
        yield
    except FileNotFoundError:
        raise CorpusError(f"no corpus at {_quoted(path)}; check the path") from None
    except IrregularFileError as error:
        raise CorpusError(
            f"{_quoted(error.filename)} is not a regular file; a corpus is a text file, a zip with "
            "one text or a folder of .txt files"
        ) from None
    except OSError as error:
        raise CorpusError(f"cannot read {_quoted(path)}: {error.strerror or error}") from None
    except (CorpusError, ConfigError):
        raise
    except (RuntimeError, ValueError) as error:  # `~` of somebody who has no home; a NUL
        raise CorpusError(f"{_quoted(path)} is not a usable path: {error}") from None


def _file(path: Path, limit: int) -> tuple[str, bytes]:
    """How messages call the text at `path`, and its bytes."""
    budget = _Budget(limit)
    name = _quoted(path)
    with open_regular(path) as file:
        start = file.read(len(_ZIP_STARTS[0]))
        file.seek(0)
        if start in _ZIP_STARTS or path.suffix.lower() == ".zip":
            return _zipped_file(file, name, budget)
        budget.announced(name, os.fstat(file.fileno()).st_size)
        return name, budget.read(file, name)


def _folder_files(folder: Path, limit: int) -> list[tuple[str, bytes]]:
    budget = _Budget(limit)
    paths = _text_files(folder)
    budget.announced(_quoted(folder), sum(path.stat().st_size for path in paths))
    files = []
    for path in paths:
        with open_regular(path) as file:
            files.append((_quoted(path), budget.read(file, _quoted(folder))))
    return files


def _text_files(folder: Path) -> list[Path]:
    home = folder.resolve()
    found, others = [], []
    for entry in sorted(folder.iterdir(), key=lambda p: unicodedata.normalize("NFC", p.name)):
        if entry.name.startswith("."):
            continue
        if entry.suffix.lower() == ".txt" and not entry.is_dir() and _inside(entry, home):
            found.append(entry)
        else:
            others.append(entry.name)
    if not found:
        raise CorpusError(
            f"no .txt file in the folder {_quoted(folder)}{_some(others)}; "
            "a folder is read as its .txt files, one song each (links out of it are not followed)"
        )
    return found


def _inside(entry: Path, folder: Path) -> bool:
    """Whether `entry` is no link, or one that leads to something in `folder`."""
    if not entry.is_symlink():
        return True
    try:
        return entry.resolve(strict=True).is_relative_to(folder)
    except (OSError, RuntimeError):  # a link to nothing, or to itself
        return False


def _zipped_file(file: IO[bytes], name: str, budget: _Budget) -> tuple[str, bytes]:
    size = os.fstat(file.fileno()).st_size
    if size > budget.limit + _ZIP_EXTRA:  # its list of entries alone could fill the memory
        raise budget.refuse(name, f"{size:,}")
    try:
        with zipfile.ZipFile(_InShortReads(file)) as archive:
            entry = _only_text(archive.infolist(), name)
            inner = f"{_quoted(_short(entry.filename))} in {name}"
            budget.announced(inner, entry.file_size)
            with archive.open(entry) as member:
                data = budget.read(member, inner)
    except CorpusError:
        raise
    except _DAMAGED as error:
        raise CorpusError(f"{name} is not a sound zip archive: {error}; pack it anew") from None
    return inner, data


def _only_text(entries: Sequence[zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    files = [entry for entry in entries if not entry.is_dir() and not _ignored(entry.filename)]
    texts = [entry for entry in files if entry.filename.lower().endswith(".txt")] or files
    if len(texts) != 1:
        count = f"{len(texts):,} texts" if texts else "no text"
        raise CorpusError(
            f"{name} holds {count}{_some([t.filename for t in texts])}; "
            "pack exactly one, or unpack them into a folder and give the folder"
        )
    (entry,) = texts
    if stat.S_ISLNK(entry.external_attr >> 16):  # where Unix keeps the file's mode
        raise CorpusError(f"{_quoted(_short(entry.filename))} in {name} is a link, not a text")
    if entry.flag_bits & _ENCRYPTED:
        raise CorpusError(f"{name} is encrypted; pack it without a password")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        # The others may unpack a few bytes to megabytes at once, past any limit.
        raise CorpusError(
            f"{name} uses compression method {entry.compress_type}; "
            "allowed are stored (0) and deflate (8): pack it anew"
        )
    return entry


def _ignored(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") and part != ".." for part in parts)


def _some(names: Sequence[str]) -> str:
    """A few of `names` for a message."""
    if not names:
        return ""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    shown = (_quoted(_short(name)) for name in names[:_NAMES_SHOWN])
    return f" ({', '.join(shown)}{more})"


def _short(name: str) -> str:
    """The name of an entry, of which an archive may have 64 KiB."""
    return name if len(name) <= _NAME_SHOWN else f"{name[:_NAME_SHOWN]}…"
