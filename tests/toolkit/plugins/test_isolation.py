"""What plugins print stays off stdout."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from versemill.plugins.isolation import captured

if TYPE_CHECKING:
    import pytest


def test_python_is_kept_and_what_is_below_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with captured() as printed:
        print("la")
        sys.stdout.buffer.write("啦\n".encode())
        os.write(1, b"from below\n")
    print("afterwards", flush=True)
    assert printed.text == "la\n啦\n"
    assert capfd.readouterr() == ("afterwards\n", "from below\n")


def test_it_ends_with_an_error_too(capfd: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(ValueError), captured() as printed:
        print("la")
        int("no")
    assert printed.text == "la\n"
    print("afterwards", flush=True)
    assert capfd.readouterr().out == "afterwards\n"


def test_a_plugin_may_close_it_or_keep_it() -> None:
    with captured() as printed:
        sys.stdout.close()
    assert printed.text == ""
    with captured():
        kept = sys.stdout
    print("to nowhere", file=kept)
