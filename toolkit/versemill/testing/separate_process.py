"""The suites in a process of their own: a plugin that hangs or ends it costs one check.

The process is `python -m versemill.testing.separate_process DISTRIBUTION NAME SECONDS FOLDER`;
NAME may be empty, for everything that the distribution offers.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from versemill import testing
from versemill.config.recipes import REFERENCE_CELL
from versemill.errors import ConfigError, CorpusError
from versemill.plugins.discovery import find_sources
from versemill.plugins.probing import ResultWriter, faults_of, run_in_own_process
from versemill.plugins.registry import Registry
from versemill.testing.suite import Suite, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.plugins.registry import Registration

SECONDS = 60.0
"""Time for one check, and for importing the plugin."""
_ISOLATION = {
    "kind": "plugin",
    "check": "isolation",
    "rule": "It can be imported, comes to an end, and changes nothing that belongs to all.",
    "why": "it shares its process with every other plugin, and with the training",
    "mend": "do at import and in hooks nothing but define and register",
}

_ENDLESS = {
    "check": "end",
    "rule": "Every check comes to an end.",
    "why": "a job that meets this stands still until it is given up",
    "mend": "look at the line named; no network, no waiting, no loop without a bound",
}


def check_in_own_process(
    distribution: str, name: str = "", *, seconds: float = SECONDS
) -> list[dict[str, Any]]:
    """Checks what a distribution offers; see `versemill plugins check --json` for the rows.

    Args:
        distribution: as `versemill plugins list` names it.
        name: of one of its plugins; empty for all.
        seconds: time for each check.

    Returns:
        One row for the distribution, then one for each check of each plugin, as far as it came.
    """
    arguments = (distribution, name, str(seconds))
    results = run_in_own_process("versemill.testing.separate_process", arguments, seconds=seconds)
    rows: list[dict[str, Any]] = []
    begun: dict[str, Any] = {"name": distribution}
    for line in results.lines:
        if "begun" in line:
            begun = line["begun"]
        else:
            rows.append(line)
    if results.fault:
        rows.append({**_ISOLATION, **begun, "passed": False, "what": results.fault})
    return rows


# Within the process


def main(distribution: str, name: str, seconds: str, folder: str) -> None:
    """Checks, and writes the results."""
    import torch  # noqa: F401 - takes seconds of its own

    writer = ResultWriter(folder)
    writer.watch(float(seconds))
    faults = faults_of(distribution)
    for fault in faults:
        writer.write({**_ISOLATION, "name": distribution, "passed": False, "what": fault})
    if not faults:
        kept = {"name": distribution, "passed": True, "what": "", "why": "", "mend": ""}
        writer.write({**_ISOLATION, **kept})
    registry = Registry.of(
        s for s in find_sources() if s.built_in or s.distribution == distribution
    )
    for registration in registry.all():
        if registration.distribution == distribution and name in ("", registration.name):
            _check(registration, registry, writer, float(seconds), named=bool(name))
    writer.end()


def _check(
    registration: Registration,
    registry: Registry,
    writer: ResultWriter,
    seconds: float,
    *,
    named: bool,
) -> None:
    label = {"kind": registration.kind, "name": registration.name}
    writer.write({"begun": {**label, **_ENDLESS}})
    writer.watch(seconds)
    for row in _unread(registration, named=named) or _rows(registration, registry):
        writer.write({**label, **row})
        writer.watch(seconds)


def _rows(registration: Registration, registry: Registry) -> Iterator[dict[str, Any]]:
    suite = next(s for s in _suites() if s.kind == registration.kind)
    one = type(suite.__name__, (suite,), {"name": registration.name, "registry": registry})
    passed = True
    for outcome in outcomes(one):
        passed = passed and outcome.passed
        yield asdict(outcome)
    if registration.kind == "cell" and passed:
        yield _speed(registration, registry)


def _suites() -> list[type[Suite]]:
    return [getattr(testing, name) for name in testing.__all__]


def _unread(registration: Registration, *, named: bool) -> list[dict[str, Any]]:
    """One row if a corpus says that it cannot be read here: a failure only when asked for it."""
    if registration.kind != "corpus":
        return []
    try:
        registration.load()(registration.options_from({}))
    except (ConfigError, CorpusError) as error:
        verdict = False if named else None
        row = {"check": "read", "rule": "It can be read.", "passed": verdict, "what": str(error)}
        return [{**row, "why": "", "mend": ""}]
    except Exception:  # noqa: BLE001 - third-party code may raise anything; the suite reports it
        return []
    return []


def _speed(registration: Registration, registry: Registry) -> dict[str, Any]:
    """How long a training window takes beside the reference's; never a failure."""
    from versemill.testing.cells import seconds_a_window

    reference = registry.find("cell", REFERENCE_CELL)
    ours, theirs = (seconds_a_window(cell) for cell in (registration, reference))
    return {
        "check": "speed",
        "rule": "Speed is shown, whatever it is.",
        "passed": True,
        "what": (f"{ours * 1e3:.1f} ms a training window; {reference.name} {theirs * 1e3:.1f} ms"),
        "why": "",
        "mend": "",
        "seconds": ours,
        f"{reference.name}_seconds": theirs,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
