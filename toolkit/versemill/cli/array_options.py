"""The option `--array`: settings that take several values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from versemill.cli.job_options import setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versemill.jobs.service import Varied

_RANGE = re.compile(r"([+-]?[0-9]{1,18})\.\.([+-]?[0-9]{1,18})")


def varied(assignment: str) -> Varied:
    """Reads one `--array SECTION.KEY=V1,V2` or `=1..5`.

    Values are TOML, bare words text. A range counts up, both ends among it.

    Raises:
        UsageError: there is no setting or no value.
    """
    from versemill.jobs.service import Varied

    key, equals, values = assignment.partition("=")
    if not equals or not key.strip():
        raise click.UsageError(f"--array {assignment}: write SECTION.KEY=V1,V2 or =1..5.")
    return Varied(key=key.strip(), values=_values(key, values.strip()))


def _values(key: str, values: str) -> Sequence[object]:
    found = _RANGE.fullmatch(values)
    if found is not None:
        return range(int(found[1]), int(found[2]) + 1)
    _, whole = setting(f"{key}=[{values}]")
    if isinstance(whole, list):
        return whole
    return [setting(f"{key}={each.strip()}")[1] for each in values.split(",")]
