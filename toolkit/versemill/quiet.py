"""Keeping strangers' output off stdout, which belongs to what a command prints."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Printed:
    """What was printed within `captured`; complete once that is left."""

    text: str = ""


@contextlib.contextmanager
def captured() -> Iterator[Printed]:
    """Keeps what is printed from Python; what comes from below it goes to stderr.

    Yields:
        Where the text is found afterwards.
    """
    printed = Printed()
    # Never closed by us: who has taken hold of it meanwhile can go on writing, to nowhere.
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace", write_through=True)
    try:
        with contextlib.redirect_stdout(stream), _descriptor_to_stderr():
            yield printed
    finally:
        with contextlib.suppress(ValueError):  # somebody has closed it
            stream.seek(0)
            printed.text = stream.read()


@contextlib.contextmanager
def _descriptor_to_stderr() -> Iterator[None]:
    try:
        kept = os.dup(1)
    except OSError:  # there is no stdout
        yield
        return
    try:
        with contextlib.suppress(OSError):  # there is no stderr
            os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
