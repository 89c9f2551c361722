"""`curve`: a job's perplexity history, in the terminal or as a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say
from versemill.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versemill.jobs.views import CurvePoint, JobView

ROWS = 30
_BAR = 40
_TRAINING, _VALIDATION = "█", "○"


@click.command()
@click.argument("job")
@click.option(
    "--png", type=click.Path(dir_okay=False, path_type=Path), help="Draw a picture instead."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects, every report.")
def curve(job: str, png: Path | None, as_json: bool) -> None:
    """Show how a job's perplexities developed.

    Training perplexity alone only shows memorising; validation is on text held out. Both are per
    character, whatever the tokenizer.

    \b
    Examples:  versemill curve @last
               versemill curve my-job --png curve.png
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import print_json
    from versemill.errors import VersemillError
    from versemill.jobs import service

    with installation() as here:
        found = here.job(job)
        if as_json or png is not None:
            points = service.curve(here.store, found.id)
            count = len(points)
        else:
            points, count = service.thinned_curve(here.store, found.id, ROWS)
    if as_json:
        print_json([point.to_json() for point in points])
        if png is None:
            return
    if not points:
        raise VersemillError(f"job {found.id} ({found.name}) {_why_empty(found)}")
    if png is not None:
        _draw(found, points, png)
    else:
        say(*curve_lines(found, points, count))


def curve_lines(job: JobView, shown: Sequence[CurvePoint], count: int) -> list[str]:
    """A table with a bar per row, of the points shown of `count`."""
    from versemill.cli.terminal.tables import perplexity, speed, table

    scale = _Scale(shown)
    header = ("EPOCH", "STEP", "TRAINING", "VALIDATION", "CHARACTERS/S", "LOG SCALE")
    rows = [
        (
            point.epoch,
            f"{point.step:,}",
            perplexity(point.train_perplexity),
            perplexity(point.valid_perplexity),
            speed(point.characters_per_second),
            scale.bar(point),
        )
        for point in shown
    ]
    part = f"; {len(shown)} of {counted(count, 'report')}" if len(shown) < count else ""
    return [
        f"perplexity per character of job {job.id} ({job.name}), {job.state_shown}{part}",
        *table(header, rows, right="EPOCH STEP TRAINING VALIDATION CHARACTERS/S").split("\n"),
        f"{_TRAINING} training   {_VALIDATION} validation (held out)   from "
        f"{perplexity(scale.low)} to {perplexity(scale.high)}",
    ]


class _Scale:
    """A logarithmic scale over every figure shown."""

    def __init__(self, points: Sequence[CurvePoint]) -> None:
        both = [f for p in points for f in (p.train_perplexity, p.valid_perplexity)]
        figures = [f for f in both if f is not None and math.isfinite(f) and f > 0]
        self.low = min(figures, default=1.0)
        self.high = max(figures, default=1.0)

    def bar(self, point: CurvePoint) -> str:
        cells = [_TRAINING] * self._place(point.train_perplexity)
        mark = self._place(point.valid_perplexity)
        if mark:
            cells += [" "] * (mark - len(cells))
            cells[mark - 1] = _VALIDATION
        return "".join(cells)

    def _place(self, figure: float | None) -> int:
        """Column from 1 to `_BAR`; 0 for nothing."""
        if figure is None or not math.isfinite(figure) or figure <= 0:
            return 0
        width = math.log(self.high / self.low)
        return 1 + round((_BAR - 1) * (math.log(figure / self.low) / width if width else 0))


def _why_empty(job: JobView) -> str:
    if job.state.ended:
        return f"has {job.state} without a report"
    return f"is {job.state_shown} and has no report yet; the first comes with its first epoch"


def _draw(job: JobView, points: Sequence[CurvePoint], png: Path) -> None:
    from versemill.cli.installation import note
    from versemill.cli.terminal.curve_picture import draw

    remark = draw(job, points, png)
    if remark is not None:
        note(remark)
    note(f"wrote {png}")
