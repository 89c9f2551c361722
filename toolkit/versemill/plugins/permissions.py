"""Whether anybody but this user and root could change what is run from the plugin folder."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def changeable(paths: Iterable[Path]) -> str | None:
    """Why others could change one of these files and folders, and the command that mends it.

    Raises:
        OSError: one cannot be looked at.
    """
    for path in paths:
        found = path.stat()
        whose = _other_owner(found.st_uid, path)
        if whose is not None:
            return whose
        if found.st_mode & _OTHERS:
            return _writable(path, found.st_mode)
        elsewhere = replaceable(path) if path.is_symlink() else None
        if elsewhere is not None:
            return elsewhere
    return None


def replaceable(folder: Path) -> str | None:
    """Why others could put another folder in its place, and the command that mends it.

    Looked at is every folder on the way to it, as it is written and with its links followed. In
    one with the sticky bit, such as `/tmp`, only the owner of a thing can replace it.

    Raises:
        OSError: one cannot be looked at.
    """
    written = folder.absolute()
    for path in dict.fromkeys((*written.parents, *written.resolve().parents)):
        found = path.stat()
        whose = _other_owner(found.st_uid, path)
        if whose is not None:
            return whose
        if found.st_mode & stat.S_ISVTX:
            continue
        shared = found.st_mode & stat.S_IWGRP and not _is_private_group(found)
        if shared or found.st_mode & stat.S_IWOTH:
            return _writable(path, found.st_mode)
    return None


def _writable(path: Path, mode: int) -> str:
    return (
        f"others can write to {path} (mode {stat.S_IMODE(mode):04o}), and so run what they like "
        f"as you; `chmod go-w {shlex.quote(str(path))}`"
    )


def _other_owner(owner: int, path: Path) -> str | None:
    # Whoever owns the root folder is root, by another number within a user namespace.
    if owner in {0, os.geteuid(), Path("/").stat().st_uid}:
        return None
    return (
        f"{path} belongs to {_name(owner)}, who could have you run what they like; copy it to a "
        "folder of your own"
    )


def _is_private_group(found: os.stat_result) -> bool:
    """Whether the group is that of the owner alone, as many systems make one for each user."""
    import grp
    import pwd

    with suppress(KeyError):
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
        return group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}
    return False


def _name(user: int) -> str:
    import pwd

    with suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return f"user {user}"
