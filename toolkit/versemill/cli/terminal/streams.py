"""The process's standard streams: always there, and it is known which of them cannot be written."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from versemill.errors import VersemillError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from _typeshed import ReadableBuffer

_REPEATED = 200  # bytes of a lost line that a message repeats


class OutputError(OSError):
    """Standard output cannot be written: a full disk, or it is closed. A closed pipe is another.

    Attributes:
        lost: what was not written, if it was one short line.
    """

    lost: str = ""

    def __str__(self) -> str:
        """What happened, in words."""
        reason = "it is closed" if self.errno == errno.EBADF else self.strerror
        return f"standard output cannot be written: {reason}"


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            written = super().write(data)
            while written is None:  # somebody has made it non-blocking, and it is full
                select.select([], [self], [])
                written = super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            failed = OutputError(error.errno, error.strerror)
            failed.lost = _one_line(bytes(data))
            raise failed from None
        return written


class _Remarks(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:  # nobody is left to tell
            return len(bytes(data))


LOST: tuple[type[OSError], ...] = (OutputError, BrokenPipeError)
"""What writing to standard output raises when there is no more use in it."""


@contextmanager
def despite_lost_output(done: str) -> Iterator[None]:
    """Says what is done all the same when standard output fails, or its reader is gone.

    Raises:
        VersemillError: it has failed; the message ends with `done`.
    """
    try:
        yield
    except LOST as error:
        raise VersemillError(f"{output_trouble(error)}; {done}") from None


def output_trouble(error: OSError) -> str:
    """An error of `LOST` in words."""
    if isinstance(error, BrokenPipeError):
        return "standard output cannot be written: nobody reads it any more"
    return str(error)


def provide_streams() -> None:
    """Gives this process all three streams, whatever it was started with.

    One that is closed is opened on the null device, so that no file takes its number. What stderr
    does not take is dropped; what stdout does not take raises `OutputError`.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            _open_null(number, mode)  # stdout for reading: writing to it fails, as it should
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it stays until the end
    sys.stdout = _text(_Output(1, "w", closefd=False), like=sys.stdout)
    sys.stderr = _text(_Remarks(2, "w", closefd=False), like=sys.stderr)


def failing_output(descriptor: int) -> TextIO:
    """A standard output on this descriptor."""
    return _text(_Output(descriptor, "w", closefd=False), like=None)


def _open_null(number: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    else:
        os.set_inheritable(number, True)


def _text(raw: io.FileIO, *, like: TextIO | None) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding if like else "utf-8",
        errors="replace",  # lyrics may hold what the terminal's encoding lacks
        line_buffering=raw.isatty(),
        write_through=bool(getattr(like, "write_through", False)),
    )


def _one_line(data: bytes) -> str:
    text = data[: _REPEATED + 1].decode(errors="replace")
    whole = len(data) <= _REPEATED and text.endswith("\n") and text.count("\n") == 1
    return text.strip() if whole else ""
