"""How a Python process of Versemill's own is started."""

from __future__ import annotations

import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this very Python.

    With -P no module is imported from the present folder, which may be anybody's: a file
    `json.py` in it would run with the rights of whoever works there.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def code_command(code: str, *arguments: str) -> list[str]:
    """The command that runs a few lines of code; see `module_command`."""
    return [sys.executable, "-P", "-c", code, *arguments]
