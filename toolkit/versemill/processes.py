"""The commands that start Versemill's Python processes."""

from __future__ import annotations

import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with the Python of this process.

    With -P no module is imported from the current folder. Others may be able to write to it; a
    file `json.py` there would otherwise run with the rights of this user.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def code_command(code: str, *arguments: str) -> list[str]:
    """The command that runs a few lines of code; see `module_command`."""
    return [sys.executable, "-P", "-c", code, *arguments]
