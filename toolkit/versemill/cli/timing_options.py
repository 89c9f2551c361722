"""Options that say when a job may begin, after which others, and how long it may run."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from versemill.cli.times import duration, seconds_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from versemill.jobs.service import After, Timing

F = TypeVar("F", bound="Callable[..., Any]")


def timing_options(command: F) -> F:
    """Adds `--after`, `--begin` and `--time-limit`; `timing` reads them."""
    for option in (
        click.option("--time-limit", metavar="TIME", help="Most device time: 2h, 30m, 90s."),
        click.option("--begin", metavar="TIME", help="Not before 22:00, a date and time, or +2h."),
        click.option(
            "--after",
            multiple=True,
            metavar="JOB[:succeeded|:any]",
            help="Begin once this job has succeeded, or ended in any way; repeatable.",
        ),
    ):
        command = option(command)
    return command


def timing(options: Mapping[str, Any]) -> Timing:
    """What the options say.

    Args:
        options: values of `timing_options`.

    Raises:
        UsageError: a time that cannot be read, or that is past.
        ConfigError: a time or limit that is out of bounds.
    """
    from versemill.jobs.service import Timing

    begin, limit = options["begin"], options["time_limit"]
    now = datetime.now().astimezone()
    return Timing(
        begin_in=None if begin is None else seconds_until(begin, now, "--begin"),
        after=tuple(map(_after, options["after"])),
        time_limit=None if limit is None else duration(limit, "--time-limit"),
    )


def _after(value: str) -> After:
    from versemill.jobs.service import After

    job, colon, condition = value.rpartition(":")
    if colon and condition == "any":
        return After(job=job, condition="any")
    return After(job=job if colon and condition == "succeeded" else value)
