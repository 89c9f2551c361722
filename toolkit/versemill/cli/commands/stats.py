"""`stats`: what was used, how long jobs waited, and what failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say, say_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versemill.jobs.service.statistics import Statistics, Usage

_COLUMNS = (
    "cpu_hours", "gpu_hours", "given_back_hours", "utilisation", "attempts", "wait_p50",
    "wait_p90", "failures", "forecasts", "forecasts_right", "forecast_rate",
)  # fmt: skip


@click.command()
@click.option("--by", type=click.Choice(("owner", "device", "week")), help="In groups.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a header.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Draw a picture.")
def stats(by: str | None, as_csv: bool, as_json: bool, png: Path | None) -> None:
    """Tell what was used.

    CPU and GPU are device hours; BACK is what was given back of them, since it was lost to others.
    IN USE is how many devices were held at a time. WAIT is how long half (nine of ten) of the jobs
    waited at most for their first start. FORECAST is how often a job started when it was expected.

    \b
    Examples:  versemill stats --by owner
               versemill stats --by week --csv
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import print_json
    from versemill.jobs.service.statistics import By, statistics

    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    with installation() as here:
        found = statistics(here.store, None if by is None else By(by))
    if png is not None:
        _draw(found, png)
    if as_json:
        print_json(found.to_json())
    elif as_csv:
        say_text(_csv(found), end="")
    elif png is None:
        say(*_lines(found))


def _csv(found: Statistics) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((found.by or "group", *_COLUMNS))
    for usage in found.groups if found.by else (found.total,):
        row = usage.to_json()
        failures = " ".join(f"{kind}={count}" for kind, count in usage.failures.items())
        writer.writerow((usage.group, *((row | {"failures": failures})[c] for c in _COLUMNS)))
    return text.getvalue()


def _lines(found: Statistics) -> list[str]:
    from versemill.cli.terminal.tables import table

    by = str(found.by or "").upper()
    header = (by, "CPU", "GPU", "BACK", "IN USE", "RUNS", "WAIT", "FAILED", "FORECAST")
    usages: Sequence[Usage] = (*found.groups, found.total) if found.by else (found.total,)
    return table(header, map(_row, usages), right="CPU GPU BACK RUNS").split("\n")


def _row(usage: Usage) -> tuple[object, ...]:
    from versemill.cli.terminal.tables import duration

    waits = None
    if usage.wait_p50 is not None:
        waits = f"{duration(usage.wait_p50)} ({duration(usage.wait_p90)})"
    failed = ", ".join(f"{count} {kind}" for kind, count in usage.failures.items())
    rate = usage.forecast_rate
    return (
        usage.group,
        f"{usage.cpu_hours:,.2f} h",
        f"{usage.gpu_hours:,.2f} h",
        f"{usage.given_back_hours:,.2f} h",
        None if usage.utilisation is None else f"{usage.utilisation:.2f}",
        usage.attempts,
        waits,
        failed or None,
        None if rate is None else f"{rate:.0%} of {usage.forecasts:,}",
    )


def _draw(found: Statistics, png: Path) -> None:
    from versemill.cli.installation import note
    from versemill.cli.terminal.usage_picture import draw
    from versemill.errors import VersemillError

    if not found.total.attempts:
        raise VersemillError("there is nothing to draw: no job has been started yet")
    remark = draw(found, png)
    if remark is not None:
        note(remark)
    note(f"wrote {png}")
