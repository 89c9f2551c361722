"""Times and durations as people write them in options."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[smhd])+")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_TIME_HELP = "write 22:00, a date and time such as 2027-01-31T22:00, or +2h"


def duration(value: str, option: str) -> float:
    """Seconds, from `2h`, `30m`, `90s`, `1d`, or several of them together.

    Args:
        value: what was written.
        option: for which option, for the message.

    Raises:
        UsageError: it is none of these.
    """
    if _DURATION.fullmatch(value) is None:
        raise click.UsageError(f"{option} {value}: write 2h, 30m, 90s, or 1h30m.")
    parts = re.findall(r"([0-9.]+)([smhd])", value)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def seconds_until(value: str, now: datetime, option: str) -> float:
    """How far a time is from now.

    A time of day is today's, or tomorrow's if it is past. A time that clocks skip in the night
    of a change is as much later as they skip; of one that comes twice, the next is meant.

    Args:
        value: `22:00`, a date and time in ISO 8601 (local unless it has a zone), or `+2h`.
        now: with a zone; local times are those of this machine.
        option: for which option, for the message.

    Returns:
        Seconds.

    Raises:
        UsageError: it cannot be read, or it is past.
    """
    if value.startswith("+"):
        return duration(value[1:], f"{option} +")
    clock = _CLOCK.fullmatch(value)
    if clock is not None:
        today = now.astimezone().replace(tzinfo=None, second=0, microsecond=0, fold=0)
        at = today.replace(hour=int(clock[1]), minute=int(clock[2]))
        return next(filter(None, (_ahead(at + timedelta(days=days), now) for days in (0, 1, 2))))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.UsageError(f"{option} {value}: {_TIME_HELP}.") from None
    if ":" not in value:
        raise click.UsageError(f"{option} {value}: {_TIME_HELP}.")
    try:
        ahead = _ahead(moment, now)
    except (OverflowError, OSError, ValueError):  # years that no clock shows
        raise click.UsageError(f"{option} {value}: no such time; {_TIME_HELP}.") from None
    if ahead is None:
        raise click.UsageError(f"{option} {value} is past; it is {now:%Y-%m-%d %H:%M} now.")
    return ahead


def _ahead(moment: datetime, now: datetime) -> float | None:
    """Seconds until then, the second time if the first is past; None if both are."""
    for fold in (0, 1):
        # Not by astimezone(): it moves a time that clocks skip the other way.
        ahead = moment.replace(fold=fold).timestamp() - now.timestamp()
        if ahead > 0:
            return ahead
    return None
