"""Which files of an installation others may read or change, and the command that ends it."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from versemill.settings import Settings

_OTHERS = 0o077
_FOLDERS = ("logs", "spool")


def open_to_others(settings: Settings, database: Path | None) -> list[Path]:
    """Files and folders of this user's that the group or others may use.

    They are the data folder itself (but not a user's home), the database and SQLite's files
    beside it, and `logs`, `spool` and the tracking folder, with anything in them. Whatever else
    lies in the data folder is not Versemill's.

    Args:
        settings: where they are.
        database: file of the SQLite database; None for PostgreSQL.
    """
    home = settings.home
    places = [home / folder for folder in _FOLDERS] + [settings.tracking]
    if database is not None:
        places = [*_database_files(database), *places]
    found = [place for place in places if any(map(_is_open, _all_of(place)))]
    if _is_open(home) and home != Path.home():
        found.insert(0, home)
    return found


def closing_command(found: Sequence[Path], home: Path) -> str:
    """The command for a shell that closes what `open_to_others` has found in this data folder."""
    commands = []
    if home in found:
        commands.append(f"chmod go= {_quoted(home)}")
    below = [_quoted(place) for place in found if place != home]
    if below:
        commands.append(f"chmod -R go= {' '.join(below)}")
    return " && ".join(commands)


def _quoted(place: Path) -> str:
    return shlex.quote(os.path.realpath(place))


def _database_files(database: Path) -> list[Path]:
    return [database.with_name(database.name + end) for end in ("", "-wal", "-shm", "-journal")]


def _all_of(place: Path) -> Iterator[Path]:
    """The place, and what is in it if it is a folder."""
    yield place
    for folder, folders, files in os.walk(place):
        yield from (Path(folder, name) for name in (*folders, *files))


def _is_open(place: Path) -> bool:
    try:
        found = place.lstat()
    except OSError:  # not there, or gone meanwhile
        return False
    mine = found.st_uid == os.geteuid()
    return mine and not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & _OTHERS)
