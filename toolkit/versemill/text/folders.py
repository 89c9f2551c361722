"""Which files of a folder are read, in an order that is equal on all machines, or skipped."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

from versemill.errors import CorpusError
from versemill.text.archives import quoted, some
from versemill.text.formats import READ_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEEPEST = 20
"""Levels of folders."""

MOST_ENTRIES = 100_000
"""Files and folders looked at."""

LEADS_OUT = "links out of the folder, or to folders"
OTHER_ENDING = "other endings"
HIDDEN = "hidden"


def files_in(folder: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """The files to read, and the names of what is skipped, by reason.

    The `.txt` files are read, or if there are none, those with `READ_ENDINGS`; each may be packed
    (`.gz`). Files and subfolders are read together in the order of their names. Links to files are
    followed if they stay in the folder.

    Raises:
        CorpusError: nothing to read, or more than `MOST_ENTRIES` entries or `DEEPEST` levels.
        OSError: a folder cannot be read.
    """
    skipped: dict[str, list[str]] = {LEADS_OUT: [], OTHER_ENDING: [], HIDDEN: []}
    texts: list[Path] = []
    others: list[Path] = []
    for entry in _entries(folder, folder.resolve(), skipped):
        ending = _ending(entry.name)
        if ending == ".txt":
            texts.append(entry)
        elif ending in READ_ENDINGS:
            others.append(entry)
        else:
            skipped[OTHER_ENDING].append(str(entry.relative_to(folder)))
    if texts:
        skipped[OTHER_ENDING] += [str(entry.relative_to(folder)) for entry in others]
    elif not others:
        names = [name for kind in (OTHER_ENDING, LEADS_OUT) for name in skipped[kind]]
        raise CorpusError(
            f"no .txt file in the folder {quoted(folder)}{some(names)}; "
            "a folder is read as its .txt files, one song each (links out of it are not followed), "
            f"or where it has none as those that end in {', '.join(READ_ENDINGS)}"
        )
    return texts or others, {reason: names for reason, names in skipped.items() if names}


def _entries(folder: Path, home: Path, skipped: dict[str, list[str]]) -> Iterator[Path]:
    """Every file that may be read, depth first."""
    count = 0
    waiting = [(folder, 0)]
    while waiting:
        entry, depth = waiting.pop()
        if depth and not _is_folder(entry):
            yield entry
            continue
        if depth > DEEPEST:
            raise CorpusError(
                f"{quoted(folder)} has more than {DEEPEST} levels of folders; give a "
                "folder further in"
            )
        inner = []
        for name in _names(entry):
            count += 1
            if count > MOST_ENTRIES:
                raise CorpusError(
                    f"{quoted(folder)} holds more than {MOST_ENTRIES:,} files and folders; give a "
                    "smaller folder, or one file with a line for each song (.jsonl)"
                )
            found = entry / name
            if name.startswith("."):
                skipped[HIDDEN].append(str(found.relative_to(folder)))
            elif found.is_symlink() and not _stays(found, home):
                skipped[LEADS_OUT].append(str(found.relative_to(folder)))
            else:
                inner.append((found, depth + 1))
        waiting += sorted(inner, key=_place, reverse=True)


def _names(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _place(entry: tuple[Path, int]) -> tuple[str, str]:
    """Order that does not depend on how a file system writes names."""
    name = entry[0].name
    return unicodedata.normalize("NFC", name), name


def _is_folder(entry: Path) -> bool:
    return entry.is_dir() and not entry.is_symlink()


def _stays(link: Path, home: Path) -> bool:
    """Whether a link leads to a file in the folder `home`."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # a link to nothing, or to itself
        return False
    return target.is_relative_to(home) and not target.is_dir()


def _ending(name: str) -> str:
    lower = name.lower().removesuffix(".gz")
    return os.path.splitext(lower)[1]  # noqa: PTH122 - of a name, thousands of times
