"""`corpora`: texts to train on, from plugins or added by name without any code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.registry import Registry

_SAMPLE_LINES = 8


@click.group()
def corpora() -> None:
    """List, add and look at corpora."""


@corpora.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_(as_json: bool) -> None:
    """List every corpus: those of plugins and those added by name.

    \b
    Example:  versemill corpora list
    """
    from versemill.cli.installation import installation
    from versemill.cli.tables import print_json, table
    from versemill.registry import Registry

    with installation() as here:
        rows = _listed(here, Registry.discover())
    if as_json:
        print_json(rows)
        return
    header = ("NAME", "FROM", "CHARACTERS", "SONGS", "SUMMARY")
    shown = [
        [
            row["name"],
            row["source"],
            None if row["characters"] is None else f"{row['characters']:,}",
            row["songs"],
            row["summary"],
        ]
        for row in rows
    ]
    click.echo(table(header, shown, right="CHARACTERS SONGS"))


@corpora.command()
@click.argument("name")
@click.argument("path")
@click.option("--song-separator", help="A line equal to this stands between two songs.")
def add(name: str, path: str, song_separator: str | None) -> None:
    """Add the text at PATH as corpus NAME: a text file, a zip with one text, or a folder.

    The text is stored in the database, so that workers on other machines have it too.

    \b
    Example:  versemill corpora add poems ./poems.txt --song-separator ---
    """
    from pathlib import Path

    from versemill.cli.installation import installation
    from versemill.errors import ConfigError
    from versemill.jobs import service
    from versemill.reading import read_path
    from versemill.registry import Registry

    with installation() as here:
        if Registry.discover().has("corpus", name):
            raise ConfigError("corpus name", name, "a name that no plugin's corpus has")
        text = read_path(
            Path(path), limit=here.settings.corpus_limit, song_separator=song_separator
        )
        source = str(Path(path).expanduser().absolute())
        view = service.add_corpus(here.store, name, text, source, here.settings.user)
    click.echo(f"corpus {view.name}: {view.characters:,} characters, {_songs(view.songs)}")


@corpora.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def show(name: str, as_json: bool) -> None:
    """Describe a corpus, by name or path, and print how it begins.

    \b
    Example:  versemill corpora show starter-zh
    """
    from versemill.cli.installation import installation
    from versemill.cli.tables import print_json
    from versemill.cli.texts import plugin_text, read_corpus
    from versemill.jobs import service
    from versemill.registry import Registry

    registry = Registry.discover()
    with installation() as here:
        if registry.has("corpus", name):
            text = plugin_text(registry, name, {})
        else:
            text = service.corpus_text(here.store, name) or read_corpus(here, name, registry)
    joined = "\n".join(text.songs)
    figures = {
        "name": name,
        "characters": text.characters,
        "distinct_characters": len(set(joined)),
        "songs": len(text.songs),
        "lines": sum(1 for line in joined.split("\n") if line.strip()),
        "content_hash": text.content_hash,
    }
    if as_json:
        print_json(figures)
        return
    click.echo(
        f"{name}: {text.characters:,} characters ({figures['distinct_characters']:,} distinct), "
        f"{figures['lines']:,} lines, {_songs(len(text.songs))}"
    )
    click.echo(f"text hash {text.content_hash}\n")
    _print_beginning(text.songs[0])


@corpora.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a corpus that was added by name; jobs that use its text keep it.

    \b
    Example:  versemill corpora remove poems
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        service.remove_corpus(here.store, name)
    click.echo(f"removed corpus {name}")


def _listed(here: Installation, registry: Registry) -> list[dict[str, Any]]:
    from versemill.jobs import service

    unknown = {"characters": None, "songs": None, "content_hash": None}
    rows: list[dict[str, Any]] = [
        {
            "name": offered.name,
            "source": f"{offered.distribution} {offered.version}",
            "summary": offered.summary,
            **unknown,
        }
        for offered in registry.all()
        if offered.kind == "corpus"
    ]
    rows += [
        {
            "name": view.name,
            "source": f"added by {view.added_by}",
            "summary": view.source,
            "characters": view.characters,
            "songs": view.songs,
            "content_hash": view.content_hash,
        }
        for view in service.corpora(here.store)
    ]
    return rows


def _songs(count: int) -> str:
    return f"{count:,} songs" if count > 1 else "no song boundaries"


def _print_beginning(song: str) -> None:
    from versemill.cli.writing import indented

    lines = indented(song[:2000])
    click.echo("\n".join(lines[:_SAMPLE_LINES]))
    if len(lines) > _SAMPLE_LINES or len(song) > 2000:  # noqa: PLR2004 - as above
        click.echo("    …")
