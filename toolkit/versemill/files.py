"""Opening a file that somebody named: a regular one, or none at all."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class IrregularFileError(OSError):
    """A folder, a FIFO, a device or a socket stands where a file was wanted."""


def open_regular(path: Path) -> IO[bytes]:
    """Opens a file for reading, if it is sure to be one: others could block or never end.

    Raises:
        IrregularFileError: it is something else.
        OSError: it cannot be opened.
        ValueError: no file can have this path.
    """
    _require_regular(path.stat().st_mode, path)
    # Looked at again once open, without waiting for a FIFO's writer: the path may have changed.
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
