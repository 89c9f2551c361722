"""Writes docs/errors.md from the tree of errors and the command line's table of advice.

python scripts/error_reference.py [--check]
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from versemill import errors
from versemill.cli.terminal.advice import ADVICE
from versemill.errors import VersemillError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"
_HEAD = """\
<!-- Made by `make docs` from the errors and their advice: change those, not this page. -->

# Errors

Every error that Versemill raises on purpose is a `versemill.errors.VersemillError`. Its `code` and
`reason` are stable, its data are in `attributes`, and `to_json()` gives all of them; a failed job
keeps that under `error` in its `result` (`versemill show JOB --json`). Messages say what happened
and name no command. What the command line adds to them is in the tables; names in braces are
attributes of the error, or of the job it is about.
"""


def classes() -> list[type[VersemillError]]:
    """Every error, in the order of the module."""
    found = [e for _, e in inspect.getmembers(errors, inspect.isclass) if _is_ours(e)]
    return sorted(found, key=lambda error: inspect.getsourcelines(error)[1])


def page() -> str:
    """The page as it has to be."""
    return "\n".join([_HEAD, *(line for error in classes() for line in _section(error))])


def _is_ours(error: type) -> bool:
    return issubclass(error, VersemillError) and error is not VersemillError


def _section(error: type[VersemillError]) -> Iterator[str]:
    doc = inspect.cleandoc(error.__doc__ or "")
    summary, _, rest = doc.partition("\n\nAttributes:\n")
    parents = ", ".join(f"`{base.__name__}`" for base in error.__bases__)
    yield f"## `{error.code}`"
    yield ""
    yield f"`{error.__name__}` ({parents}). {' '.join(summary.split())}"
    yield ""
    for name, text in re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", rest, re.MULTILINE):
        yield f"- `{name}`: {' '.join(text.split())}"
    if rest:
        yield ""
    rows = [("", "", ADVICE.get((error.code, ""), ""))] if (error.code, "") in ADVICE else []
    rows += [(r, what, ADVICE.get((error.code, r), "")) for r, what in error.reasons.items()]
    if rows:
        yield "| reason | what it means | what the command line advises |"
        yield "|---|---|---|"
        for reason, what, advice in rows:
            yield f"| {f'`{reason}`' if reason else ''} | {what} | {advice} |"
        yield ""


def main() -> int:
    """Writes the page; with `--check` only says whether it is stale."""
    wanted = page()
    outdated = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted
    if "--check" in sys.argv[1:]:
        return 1 if outdated else 0
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
