"""`corpora`: texts to train on, from plugins or added by name without any code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from versemill.cli.terminal.output import say, say_text

if TYPE_CHECKING:
    from versemill.jobs.service import CorpusFromPath

_FILES_SHOWN = 3


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
    from versemill.jobs import service
    from versemill.plugins.registry import Registry

    with installation() as here:
        offered = service.offered_corpora(here.store, Registry.discover())
    if as_json:
        print_json([corpus.to_json() for corpus in offered])
        return
    header = ("NAME", "FROM", "CHARACTERS", "SONGS", "SUMMARY")
    shown = [
        (
            corpus.name,
            corpus.source,
            None if corpus.characters is None else f"{corpus.characters:,}",
            None if corpus.songs is None else f"{corpus.songs:,}",
            corpus.summary,
        )
        for corpus in offered
    ]
    say_text(table(header, shown, right="CHARACTERS SONGS"))


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
    from versemill.jobs import service
    from versemill.plugins.registry import Registry

    with installation() as here:
        done = service.add_corpus_from_path(
            here.store,
            name,
            path,
            here.principal,
            registry=Registry.discover(),
            sources=here.sources(),
            song_separator=song_separator,
            encoding=encoding,
            field=field,
            newlines=newlines,
        )
    _print_added(done)


@corpora.command()
@click.argument("name")
@click.option("--field", help="Of JSON or CSV at a path: what holds the text of each record.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def show(name: str, field: str | None, as_json: bool) -> None:
    """Describe a corpus, by name or path: figures, how it begins, and what is odd about it.

    \b
    Example:  versemill corpora show starter-zh
    """
    from versemill.cli.installation import installation, note_all
    from versemill.cli.terminal.corpus_report import as_table, report
    from versemill.cli.terminal.tables import print_json
    from versemill.jobs import service
    from versemill.plugins.registry import Registry
    from versemill.text.inspection import inspect

    with installation() as here:
        registry = Registry.discover()
        found = service.named_text(here.store, name, registry, here.sources(), field=field)
    note_all(found.notices)
    figures = inspect(found.text)
    if as_json:
        print_json(as_table(name, found.text, figures))
    else:
        say(*report(name, found.text, figures))


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
        service.remove_corpus(here.store, name, here.principal)
    say(f"removed corpus {name}")


def _print_added(done: CorpusFromPath) -> None:
    from versemill.cli.terminal.corpus_report import songs_shown
    from versemill.jobs.notices import EncodingFound
    from versemill.phrases import counted, listed
    from versemill.text.encodings import shown
    from versemill.text.inspection import inspect

    added, reading = done.added, done.reading
    corpus = added.corpus
    say(
        f"corpus {corpus.name}: {counted(corpus.characters, 'character')}, "
        f"{songs_shown(corpus.songs)}, read as {shown(reading.encoding)}"
    )
    for notice in done.notices:
        if not isinstance(notice, EncodingFound):
            say(notice)
        elif notice.guessed:
            of = f" of {listed(notice.files, _FILES_SHOWN)}" if notice.files else ""
            say(
                f"the encoding{of} is a guess; the text begins: {notice.beginning}",
                "if that is wrong, add it again with --encoding",
            )
    if added.replaced:
        kept = counted(added.kept_by, "job")
        say(
            f"{corpus.name} stood for another text before; "
            + (f"{kept} submitted with that text keep it" if added.kept_by else "no job has it")
        )
    odd = inspect(reading.text).oddities
    if odd:
        kinds = ", ".join(each.what for each in odd)
        say(f"look at it with `versemill corpora show {corpus.name}`: {kinds}")
