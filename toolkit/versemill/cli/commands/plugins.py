"""`plugins`: what is installed, and what was left out and why."""

from __future__ import annotations

import click

from versemill.cli.commands.plugins_check import check
from versemill.cli.commands.plugins_new import new
from versemill.cli.terminal.output import say, say_text


@click.group()
def plugins() -> None:
    """List, check and begin plugins: corpora, samplers, cells and more."""


plugins.add_command(check)
plugins.add_command(new)


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_(as_json: bool) -> None:
    """List everything plugins offer, and plugins that are disabled, with the reason.

    \b
    Example:  versemill plugins list
    """
    from versemill.cli.terminal.tables import print_json, table
    from versemill.plugins.registry import Registry

    registry = Registry.discover()
    rows = [
        {
            "kind": offered.kind,
            "name": offered.name,
            "distribution": offered.distribution,
            "version": offered.version,
            "revision": offered.revision,
            "summary": offered.summary,
            "disabled": None,
        }
        for offered in registry.all()
    ]
    left_out = [
        {
            "kind": None,
            "name": None,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "revision": None,
            "summary": None,
            "disabled": plugin.reason,
        }
        for plugin in registry.disabled
    ]
    if as_json:
        print_json(rows + left_out)
        return
    header = ("KIND", "NAME", "DISTRIBUTION", "VERSION", "SUMMARY")
    say_text(table(header, [[row[name.lower()] for name in header] for row in rows]))
    for plugin in registry.disabled:
        say(f"disabled: {plugin.distribution} {plugin.version}: {plugin.reason}")
