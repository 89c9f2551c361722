"""`corpora`: texts to train on, from plugins or added by name without any code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.jobs.views import AddedCorpus
    from versemill.plugins.registry import Registry
    from versemill.text.corpus import Text
    from versemill.text.reading import Reading


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
    from versemill.cli.terminal.tables import print_json, table
    from versemill.plugins.registry import Registry

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
            None if row["songs"] is None else f"{row['songs']:,}",
            row["summary"],
        ]
        for row in rows
    ]
    click.echo(table(header, shown, right="CHARACTERS SONGS"))


@corpora.command()
@click.argument("name")
@click.argument("path")
@click.option(
    "--song-separator", help="A line equal to this stands between two songs; '' for blank lines."
)
@click.option("--encoding", help="Of what is not UTF-8, such as gb18030; default: recognised.")
@click.option("--field", help="Of JSON or CSV: what holds the text of each record.")
@click.option(
    "--newlines",
    type=click.Choice(["keep", "space"]),
    default="keep",
    show_default=True,
    help="Keep line ends, or store a space for each.",
)
def add(
    name: str,
    path: str,
    song_separator: str | None,
    encoding: str | None,
    field: str | None,
    newlines: Literal["keep", "space"],
) -> None:
    """Add the text at PATH as corpus NAME: a text file, a zip with one text, or a folder.

    JSON, JSON lines, CSV, TSV, LRC and SRT are read by the endings of their names, .gz too; PATH
    may be - for standard input.

    The text is stored in the database, so that workers on other machines have it too. A name
    that is taken stands for the new text from then on; jobs keep the text they have.

    \b
    Examples:  versemill corpora add poems ./poems.txt --song-separator ---
               versemill corpora add 诗集 ./诗集.txt --encoding big5
               versemill corpora add 宋词 ./ci.json --field paragraphs
    """
    from versemill.cli.installation import installation
    from versemill.cli.texts import read_place, source_of
    from versemill.errors import ConfigError
    from versemill.jobs import service
    from versemill.plugins.registry import Registry

    with installation() as here:
        if Registry.discover().has("corpus", name):
            raise ConfigError("corpus name", name, "a name that no plugin's corpus has")
        reading = read_place(
            here,
            path,
            song_separator=song_separator,
            encoding=encoding,
            field=field,
            newlines=newlines,
        )
        source = source_of(path)
        added = service.add_corpus(here.store, name, reading.text, source, here.settings.user)
    _print_added(added, reading)


@corpora.command()
@click.argument("name")
@click.option("--field", help="Of JSON or CSV at a path: what holds the text of each record.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def show(name: str, field: str | None, as_json: bool) -> None:
    """Describe a corpus, by name or path: figures, how it begins, and what is odd about it.

    \b
    Example:  versemill corpora show starter-zh
    """
    from versemill.cli.terminal.corpus_report import as_table, report
    from versemill.cli.terminal.tables import print_json
    from versemill.text.inspection import inspect

    text = _text(name, field)
    found = inspect(text)
    if as_json:
        print_json(as_table(name, text, found))
    else:
        click.echo("\n".join(report(name, text, found)))


@corpora.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a corpus that was added by name, unless jobs that are not over need it.

    Jobs that are over keep its text.

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
        for view in service.list_corpora(here.store)
    ]
    return rows


def _text(name: str, field: str | None) -> Text:
    """The text of a corpus by name, or of a path."""
    from versemill.cli.installation import installation
    from versemill.cli.texts import plugin_text, read_corpus, refuse_field
    from versemill.jobs import service
    from versemill.plugins.registry import Registry

    registry = Registry.discover()
    with installation() as here:
        if registry.has("corpus", name):
            stored: Text | None = plugin_text(registry, name, {})
        else:
            stored = service.corpus_text(here.store, name)
        if stored is None:
            return read_corpus(here, name, registry, field=field)
    refuse_field(field, name)
    return stored


def _print_added(added: AddedCorpus, reading: Reading) -> None:
    from versemill.cli.terminal.corpus_report import songs_shown
    from versemill.cli.texts import beginning, guessed_shown, skipped_shown
    from versemill.phrases import counted
    from versemill.text.encodings import shown
    from versemill.text.inspection import inspect

    corpus = added.corpus
    click.echo(
        f"corpus {corpus.name}: {counted(corpus.characters, 'character')}, "
        f"{songs_shown(corpus.songs)}, read as {shown(reading.encoding)}"
    )
    if reading.guessed:
        click.echo(
            f"the encoding{guessed_shown(reading)} is a guess; the text begins: "
            f"{beginning(reading.text)}\n"
            "if that is wrong, add it again with --encoding"
        )
    for line in skipped_shown(reading):
        click.echo(line)
    if added.replaced:
        kept = counted(added.kept_by, "job")
        click.echo(
            f"{corpus.name} stood for another text before; "
            + (f"{kept} submitted with that text keep it" if added.kept_by else "no job has it")
        )
    odd = inspect(reading.text).oddities
    if odd:
        kinds = ", ".join(each.what for each in odd)
        click.echo(f"look at it with `versemill corpora show {corpus.name}`: {kinds}")
