"""Options that say what a job needs of the device that it runs on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from versemill.jobs.devices import DeviceNeeds

F = TypeVar("F", bound="Callable[..., Any]")

_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([KMGT]i?B)", re.IGNORECASE)

_OPTIONS = (
    click.option("--device", type=click.Choice(["cpu", "gpu"]), help="Run on no other kind."),
    click.option(
        "--min-memory", metavar="SIZE", help="Only on a GPU with so much memory in all: 9GB."
    ),
    click.option(
        "--device-name", metavar="TEXT", help="Only on a device with this in its name: H100."
    ),
    click.option("--label", "labels", multiple=True, help="Only on workers with it; repeatable."),
    click.option("--exclusive", is_flag=True, help="Only on a GPU without other jobs."),
)


def device_options(command: F) -> F:
    """Adds `--device`, `--min-memory`, `--device-name`, `--label` and `--exclusive`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def device_needs(options: Mapping[str, Any]) -> DeviceNeeds:
    """What the options ask for.

    Args:
        options: values of `device_options`.

    Raises:
        UsageError: no size, or a CPU that is to be a GPU as well.
        ConfigError: a name or label that is not valid text.
    """
    from versemill.jobs.devices import CPU, DeviceNeeds
    from versemill.normalisation import prepared_name

    name, memory = options["device_name"], options["min_memory"]
    if options["device"] == CPU and (memory is not None or options["exclusive"]):
        other = "--min-memory" if memory is not None else "--exclusive"
        raise click.UsageError(f"--device cpu and {other} exclude each other.")
    return DeviceNeeds(
        kind=options["device"],
        min_memory=0 if memory is None else size(memory, "--min-memory"),
        name=None if name is None else prepared_name(name, "--device-name"),
        labels=tuple(sorted({prepared_name(label, "--label") for label in options["labels"]})),
        exclusive=options["exclusive"],
    )


def size(value: str, option: str) -> int:
    """Bytes, from `9GB`, `500MB` or `8GiB`.

    Args:
        value: what was written.
        option: for which option, for the message.

    Raises:
        UsageError: it is none of these.
    """
    found = _SIZE.fullmatch(value.strip())
    unit = "" if found is None else found[2].upper()
    if found is None or unit not in _UNITS:
        raise click.UsageError(f"{option} {value}: write a size such as 9GB, 500MB or 8GiB.")
    return int(float(found[1]) * _UNITS[unit])
