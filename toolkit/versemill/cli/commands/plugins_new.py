"""`plugins new`: a small complete project for a corpus, a sampler or a cell."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path
from string import Template

import click

from versemill.cli.terminal.output import say
from versemill.plugins import ConfigError


@click.command()
@click.argument("kind", type=click.Choice(["corpus", "sampler", "cell"]))
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="The project's folder; by default NAME here. It must not exist yet.",
)
def new(kind: str, name: str, into: Path | None) -> None:
    """Write a new plugin's project: a typed module, conformance tests, packaging.

    \b
    Example:  versemill plugins new cell mycell
    """
    from versemill.cli.plugin_templates import MODULES, PROJECT

    _refuse_bad_name(kind, name)
    folder = into or Path(name)
    if folder.exists() or folder.is_symlink():
        raise ConfigError("--into", str(folder), "a folder that does not exist yet")
    title = "".join(part.capitalize() for part in re.split("[-_]", name))
    module = f"versemill_{name.replace('-', '_')}"
    words = {
        "kind": kind,
        "kinds": {"corpus": "corpora"}.get(kind, f"{kind}s"),
        "name": name,
        "module": module,
        "Class": title,
        "use": f"--{kind} {name}" + ("" if kind == "corpus" else " --corpus starter-zh"),
        "target": "read" if kind == "corpus" else title,
        "Suite": f"{kind.capitalize()}Tests",
    }
    files = {**PROJECT, "src/$module/$kind.py": MODULES[kind]}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()  # nobody else has laid links in it
        for path, text in files.items():
            place = folder / Template(path).substitute(words)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(Template(text).substitute(words), encoding="utf-8")
    except OSError as error:
        allowed = f"a place that can be written ({error})"
        raise ConfigError("--into", str(folder), allowed) from error
    say(f"wrote {folder}; next: cd {folder} && pip install -e . && pytest")
    say(f"then: versemill run {words['use']}")


def _refuse_bad_name(kind: str, name: str) -> None:
    from versemill.plugins.registry import Registry

    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name) or len(name) > 64:  # noqa: PLR2004
        raise ConfigError(
            "NAME", name, "1 to 64 lower-case letters, digits, '-' and '_', a letter first"
        )
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise ConfigError("NAME", name, "a name that Python does not use itself; choose another")
    registry = Registry.discover()
    if registry.has(kind, name):  # type: ignore[arg-type]
        holder = registry.find(kind, name).distribution  # type: ignore[arg-type]
        raise ConfigError("NAME", name, f"a {kind} name not yet taken; {holder} has this one")
