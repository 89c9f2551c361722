"""`plugins check`: the conformance suites, without pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from versemill.cli.terminal.output import say
from versemill.errors import UnknownNameError

if TYPE_CHECKING:
    from versemill.plugins.registry import Registry


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def check(name: str | None, as_json: bool) -> None:
    """Check that plugins keep their contract: NAME is a plugin's or a distribution's.

    Without NAME, all that is installed. What fails is shown with why it matters and how to mend
    it; the exit code is then 1. Each distribution is checked in a process of its own, each check
    within a minute, so that one that hangs is found too. The speed of a cell beside `lstm` is
    shown and never fails.

    \b
    Example:  versemill plugins check mycell
    """
    from versemill.cli.terminal.tables import print_json
    from versemill.plugins.registry import Registry
    from versemill.testing.separate_process import check_in_own_process

    registry = Registry.discover()
    rows: list[dict[str, Any]] = []
    for distribution, version, one in _chosen(registry, name):
        if not as_json:
            say(f"{distribution} {version}")
        found = check_in_own_process(distribution, one)
        rows += found
        if not as_json:
            _show(found)
    if as_json:
        print_json(rows)
    if any(row["passed"] is False for row in rows):
        raise SystemExit(1)


def _chosen(registry: Registry, name: str | None) -> list[tuple[str, str, str]]:
    """Distribution, version, and the one plugin that is meant, or an empty string for all."""
    offered = registry.all()
    known = {(r.distribution, r.version) for r in offered}
    known |= {(p.distribution, p.version) for p in registry.disabled}
    if name is None or name in {distribution for distribution, _ in known}:
        return [(d, v, "") for d, v in sorted(known) if name in (None, d)]
    named = {(r.distribution, r.version) for r in offered if r.name == name}
    if not named:
        hint = "see versemill plugins list"
        raise UnknownNameError(
            "plugin", name, {r.name for r in offered} | {d for d, _ in known}, hint=hint
        )
    return [(d, v, name) for d, v in sorted(named)]


def _show(found: list[dict[str, Any]]) -> None:

    shown = None
    for row in found:
        thing = f"{row['kind']} {row['name']}"
        if thing != shown and row["kind"] != "plugin":
            say(f"  {thing}")
        shown = thing
        if row["check"] == "speed":
            say(f"    speed   {row['what']}")
            continue
        mark = {True: "ok    ", False: "FAILED", None: "unread"}[row["passed"]]
        say(f"    {mark}  {row['rule']}")
        for label in ("what", "why", "mend"):
            if row[label] and row["passed"] is not True:
                say(f"            {label}: {row[label]}")
