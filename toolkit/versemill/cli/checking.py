"""`plugins check`: the conformance suites, without pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from versemill.errors import UnknownNameError

if TYPE_CHECKING:
    from versemill.registry import Registration, Registry

_SUITES = {
    "corpus": "CorpusTests",
    "tokenizer": "TokenizerTests",
    "sampler": "SamplerTests",
    "cell": "CellTests",
    "decoder": "DecoderTests",
}


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def check(name: str | None, as_json: bool) -> None:
    """Check that plugins keep their contract: NAME is a plugin's or a distribution's.

    Without NAME, all that is installed. What fails is shown with why it matters and how to mend
    it; the exit code is then 1. The speed of a cell beside `lstm` is shown and never fails.

    \b
    Example:  versemill plugins check mycell
    """
    from versemill.cli.tables import print_json
    from versemill.registry import Registry

    registry = Registry.discover()
    rows: list[dict[str, Any]] = []
    for chosen in _chosen(registry, name):
        found = _unread(chosen, named=name is not None) or _checked(chosen, registry)
        rows += found
        if not as_json:
            _show(chosen, found, registry)
    if as_json:
        print_json(rows)
    if any(row["passed"] is False for row in rows):
        raise SystemExit(1)


def _chosen(registry: Registry, name: str | None) -> list[Registration]:
    offered = registry.all()
    chosen = [r for r in offered if name is None or name in (r.name, r.distribution)]
    if not chosen:
        known = {r.name for r in offered} | {r.distribution for r in offered}
        out = [plugin for plugin in registry.disabled if plugin.distribution == name]
        hint = f"{name} is disabled: {out[0].reason}" if out else "see versemill plugins list"
        raise UnknownNameError("plugin", str(name), known, hint=hint)
    return chosen


def _unread(chosen: Registration, *, named: bool) -> list[dict[str, Any]]:
    """One row if a corpus says that it cannot be read here: a failure only when asked for it."""
    from versemill.errors import ConfigError, CorpusError

    if chosen.kind != "corpus":
        return []
    try:
        chosen.load()(chosen.options_from({}))
    except (ConfigError, CorpusError) as error:
        row = {"kind": "corpus", "name": chosen.name, "check": "read", "rule": "It can be read."}
        verdict = False if named else None
        return [{**row, "passed": verdict, "what": str(error), "why": "", "mend": ""}]
    except Exception:  # noqa: BLE001 - a stranger's code may raise anything; the suite tells it
        return []
    return []


def _checked(chosen: Registration, registry: Registry) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from versemill import testing
    from versemill.testing.suite import outcomes

    suite = getattr(testing, _SUITES[chosen.kind])
    one = type(suite.__name__, (suite,), {"name": chosen.name, "registry": registry})
    return [{"kind": chosen.kind, "name": chosen.name, **asdict(o)} for o in outcomes(one)]


def _show(chosen: Registration, found: list[dict[str, Any]], registry: Registry) -> None:
    from versemill.cli.tables import printable

    click.echo(f"{chosen.kind} {chosen.name} ({chosen.distribution} {chosen.version})")
    for row in found:
        rule = printable(row["rule"])
        mark = {True: "ok    ", False: "FAILED", None: "unread"}[row["passed"]]
        click.echo(f"  {mark}  {rule}")
        for label in ("what", "why", "mend"):
            if row[label]:
                click.echo(f"          {label}: {printable(row[label])}")
    if chosen.kind == "cell" and all(row["passed"] for row in found):
        from versemill.testing.cells import seconds_a_window

        ours, lstm = (
            seconds_a_window(registry.find("cell", name)) for name in (chosen.name, "lstm")
        )
        click.echo(f"  speed   {ours * 1e3:.1f} ms a training window; lstm {lstm * 1e3:.1f} ms")
