"""Files and folders: opens only regular files, makes private ones, replaces files as a whole."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import unicodedata
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE_UMASK = 0o077
"""For processes that write only private files."""
_PRIVATE, _BY_UMASK = 0o600, 0o666
_COMPONENT_BYTES = 200  # file systems allow 255
_NAME_SHOWN = 40


class IrregularFileError(OSError):
    """A folder, a FIFO, a device or a socket was found instead of a file."""


def open_regular(path: Path) -> IO[bytes]:
    """Opens a file for reading, if it is a regular one: others could block or never end.

    Raises:
        IrregularFileError: it is something else.
        OSError: it cannot be opened.
        ValueError: no file can have this path.
    """
    _require_regular(path.stat().st_mode, path)
    # Checked again once open, without waiting for a FIFO's writer: the path may have changed.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _require_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        raise IrregularFileError(errno.EINVAL, "not a regular file", str(path))


def spelled_as_there(path: Path) -> Path:
    """The path of an existing file or folder whose name may be in another Unicode form.

    Options are converted to NFC, names of files are not: on a Mac they are often decomposed. A name
    that exists exactly as it is written is preferred to one that only looks alike.

    Args:
        path: may begin with `~`.

    Returns:
        The path on the disk; `path` itself if it exists, or if nothing does.
    """
    if str(path).isascii() or os.path.lexists(path):
        return path
    try:
        whole = path.expanduser()
        found = Path(whole.anchor)
        for name in whole.relative_to(whole.anchor).parts:
            found = _entry(found, name)
    except (OSError, RuntimeError):  # it is not there, may not be read, or there is no home
        return path
    return found


def _entry(folder: Path, name: str) -> Path:
    """The entry of a folder with this name in any Unicode form; raises `OSError` if none."""
    if name.isascii() or os.path.lexists(folder / name):
        return folder / name
    wanted = unicodedata.normalize("NFC", name)
    for other in sorted(folder.iterdir()):
        if unicodedata.normalize("NFC", other.name) == wanted:
            return other
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder / name))


def make_private_folder(folder: Path) -> None:
    """Makes a folder, and missing ones above it, that only their owner can use.

    Existing folders are not changed.

    Raises:
        OSError: it cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
    for place in reversed(missing):
        try:
            place.mkdir(mode=0o700)
        except FileExistsError:  # another process has made it
            if not place.is_dir():
                raise _no_folder(place) from None


def _no_folder(place: Path) -> OSError:
    return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))


def make_private_file(path: Path) -> None:
    """Makes an empty file that only its owner can use, unless the path exists.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        os.close(_open_new(path, _PRIVATE))


def private_opener(path: str, flags: int) -> int:
    """For `open(..., opener=private_opener)`: makes new files private, and refuses links."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)


@contextmanager
def temporary_beside(target: Path, *, private: bool) -> Iterator[Path]:
    """An empty file in the folder of `target`; deleted at the end of the block unless moved.

    Its name cannot be predicted, so nobody can put a link there that would be followed.

    Args:
        target: the file that it is to replace.
        private: whether only its owner can use it; otherwise as the umask says.

    Raises:
        OSError: it cannot be made.
    """
    name = f".{target.name[:_NAME_SHOWN]}.{secrets.token_hex(8)}.partial"
    partial = target.with_name(name)
    try:
        os.close(_open_new(partial, _PRIVATE if private else _BY_UMASK))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing(target: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file to write, which replaces `target` when it is complete and synced to the disk.

    After an error `target` is not changed. If `target` is a link, the link is replaced.

    Args:
        target: its folder must exist.
        private: as for `temporary_beside`.

    Yields:
        The file; its `name` is its path until then.

    Raises:
        OSError: it cannot be written.
    """
    with temporary_beside(target, private=private) as partial:
        with open(partial, "r+b", opener=private_opener) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)


def _open_new(path: Path, mode: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, mode)


def safe_component(name: str) -> str:
    """Makes any name a safe single component of a path, which leads to no other folder.

    Slashes and invisible characters become `_`; a long name is cut. Names that jobs may have are
    not changed.
    """
    safe = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in str(name))
    safe = safe.encode(errors="replace")[:_COMPONENT_BYTES].decode(errors="ignore")
    return safe if safe.strip(".") else f"_{safe}"
