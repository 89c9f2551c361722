"""Reading a corpus from a path or a stream: a text, an archive with one, or a folder of texts.

Files are not trusted: nothing is extracted to disk, the limit applies to unpacked bytes, and
anything that is not text is refused, naming the place.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Literal

from versemill.errors import ConfigError, CorpusError
from versemill.files import IrregularFileError, open_regular
from versemill.normalisation import prepared
from versemill.phrases import listed
from versemill.text.archives import Budget, RawFile, quoted, read_file, read_stream
from versemill.text.corpus import Text
from versemill.text.encodings import (
    UTF_8,
    certain_encoding,
    decode,
    guessed_encoding,
    holds_controls,
    known_encoding,
)
from versemill.text.folders import files_in
from versemill.text.formats import songs_in
from versemill.text.splitting import is_separated, songs_between, without_blank_edges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

STANDARD_INPUT = "standard input"
"""Name of such a corpus in messages and jobs."""

_FEW = 3  # files named in a message


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        text: the corpus.
        encoding: of its files; several are joined by ` and `.
        guessed: whether an encoding was neither given nor certain.
        guessed_files: names of the files of a folder whose encoding was guessed, for messages.
        skipped: names in a folder that were not read, by reason.
    """

    text: Text
    encoding: str
    guessed: bool = False
    guessed_files: tuple[str, ...] = ()
    skipped: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_path(path: Path, *, limit: int, song_separator: str | None = None) -> Text:
    r"""Reads a corpus: UTF-8 (a byte order mark is dropped), in NFC, lines ending in `\n`.

    - In a file of another format (see `formats.songs_in`) each record is a song.
    - Any other file that is not an archive is one text, which is not changed.
    - A zip archive must hold exactly one text: its only `*.txt`, or its only file. Folders,
      `__MACOSX` and names with a leading dot do not count. A `.gz` holds one file.
    - A folder is read as the files in it and in its folders (see `folders.files_in`), each one
      song or more.

    The lines that equal `song_separator` separate songs; white space at line ends is ignored, and
    `""` means blank lines. Where song boundaries are known, blank lines at the beginning and end of
    songs and empty songs are dropped.

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
    field: str | None = None,
    newlines: Literal["keep", "space"] = "keep",
    stream: IO[bytes] | None = None,
) -> Reading:
    """Reads a corpus as `read_path` does, in any known encoding.

    Args:
        path: where the corpus is.
        limit: most bytes read, after decompression.
        song_separator: one line of text.
        encoding: of the file; recognised when None. In a folder it is that of the files that are
            not valid UTF-8; if it must be guessed, all of these are assumed to have the same.
        field: the field that holds the text of each record; see `formats.songs_in`.
        newlines: keep line ends, or replace each by a space after the songs are separated.
        stream: is read instead of `path`, which is then only its name.

    Raises:
        CorpusError: as `read_path`, or its encoding cannot be recognised.
        ConfigError: as `read_path`, the encoding is not known, or the format has no fields.
    """
    separator = _checked(song_separator)
    chosen = None if encoding is None else known_encoding(encoding)
    field = None if field is None else prepared(field, "field")
    folder = False
    short: Sequence[str] = ()
    skipped: Mapping[str, Sequence[str]] = {}
    with _readable(path):
        if stream is not None:
            files = [read_stream(stream, str(path), Budget(limit))]
        else:
            path = path.expanduser()
            folder = path.is_dir()
            paths, skipped = files_in(path) if folder else ([path], {})
            files = _files(paths, limit)
            if folder:
                short = [quoted(each.relative_to(path)) for each in paths]
    encodings, guessed = _encodings(files, chosen, path, short)
    found = [
        _songs_of(file, each, field, folder=folder)
        for file, each in zip(files, encodings, strict=True)
    ]
    songs = _songs([song for songs in found for song in songs], separator, path)
    if newlines == "space":
        songs = tuple(song.replace("\n", " ") for song in songs)
    return Reading(
        Text(songs),
        " and ".join(sorted(set(encodings))),
        guessed=bool(guessed),
        guessed_files=tuple(guessed) if short else (),
        skipped=skipped,
    )


def _files(paths: Sequence[Path], limit: int) -> list[RawFile]:
    budget = Budget(limit)
    files = []
    for each in paths:
        with open_regular(each) as file:
            files.append(read_file(file, PurePosixPath(each), quoted(each), budget))
    return files


def _encodings(
    files: Sequence[RawFile], chosen: str | None, path: Path, short: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The encoding of each file, and the names of those that were guessed.

    `short` are their names in the folder at `path`; none where it is no folder.
    """
    if chosen is not None and not short:
        return [chosen] * len(files), []
    certain = [certain_encoding(file.data) for file in files]
    if chosen is not None:
        # What holds control characters may be UTF-16 that happens to be valid UTF-8.
        certain = [
            None if known == UTF_8 and holds_controls(file.data) else known
            for file, known in zip(files, certain, strict=True)
        ]
        return [known or chosen for known in certain], []
    unsure = [number for number, known in enumerate(certain) if known is None]
    if not unsure:
        return [known or UTF_8 for known in certain], []
    joined = b"\n".join(files[i].data for i in unsure) if len(unsure) > 1 else files[unsure[0]].data
    names = [short[i] if short else files[i].name for i in unsure]
    name = f"{listed(names, _FEW)} in the folder {quoted(path)}" if short else names[0]
    guess = guessed_encoding(joined, name=name)
    return [known or guess for known in certain], names


def _songs_of(file: RawFile, encoding: str, field: str | None, *, folder: bool) -> list[str]:
    """The songs of one file; plain text is one, without blank edges if it is from a folder."""
    text = decode(file.data, name=file.name, encoding=encoding)
    songs = songs_in(text, name=file.name, ending=file.ending, field=field)
    if songs is None:
        return [without_blank_edges(text)] if folder else [text]
    return list(map(without_blank_edges, songs))


def _songs(texts: list[str], separator: str | None, path: Path) -> tuple[str, ...]:
    if separator is not None:
        check_separator(texts, separator, path)
        texts = [song for text in texts for song in songs_between(text, separator)]
    songs = tuple(text for text in texts if text.strip())
    if not songs:
        raise CorpusError(f"{quoted(path)} is empty; a corpus needs text")
    if len(songs) == 1 and len(songs[0].strip()) == 1:
        raise CorpusError(
            f"{quoted(path)} is a single character, {songs[0].strip()!r}; a corpus needs more: "
            "models learn which character follows another"
        )
    return songs


def check_separator(texts: Sequence[str], separator: str, name: object) -> None:
    """Raises `CorpusError` unless a line of the text with this name equals `separator`.

    `""` means blank lines; one of them must be between two other lines.
    """
    separator = prepared(separator, "song_separator")
    if any(is_separated(text, separator) for text in texts):
        return
    if not separator.strip():
        raise CorpusError(
            f"no blank line stands between the lines of {quoted(name)}, as the song separator "
            f"{separator!r} needs; correct song_separator or leave it out"
        )
    raise CorpusError(
        f"no line of {quoted(name)} equals the song separator {separator!r}; "
        "correct song_separator or leave it out"
    )


def _checked(separator: str | None) -> str | None:
    if separator is None:
        return None
    separator = prepared(separator, "corpus_options.song_separator")
    if "\n" in separator:
        raise ConfigError("corpus_options.song_separator", separator, "one line of text")
    return separator


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns errors of the operating system into a `CorpusError`."""
    try:
        yield
    except FileNotFoundError:
        raise CorpusError(f"no corpus at {quoted(path)}; check the path") from None
    except IrregularFileError as error:
        raise CorpusError(
            f"{quoted(error.filename)} is not a regular file; a corpus is a text file, a zip with "
            "one text, a folder of .txt files, or `-` for standard input"
        ) from None
    except OSError as error:
        where = path if error.filename is None else error.filename
        raise CorpusError(f"cannot read {quoted(where)}: {error.strerror or error}") from None
    except (CorpusError, ConfigError):
        raise
    except (RuntimeError, ValueError) as error:  # `~` of a user without a home; a NUL
        raise CorpusError(f"{quoted(path)} is not a usable path: {error}") from None
