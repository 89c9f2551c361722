"""`db`: the schema of the database, its backup, and the way to another one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say, say_text

if TYPE_CHECKING:
    from versemill.jobs.storage.database import SchemaStatus
    from versemill.jobs.storage.row_copy import Copied


@click.group()
def db() -> None:
    """Look after the database: schema, backup, moving to another."""


@db.command()
def upgrade() -> None:
    """Bring the schema to what this version of Versemill needs.

    SQLite is created by itself at first use; PostgreSQL changes only by this command. Refused while
    workers are alive, which know the schema of before only.

    \b
    Example:  versemill db upgrade
    """
    from versemill.jobs.storage import database
    from versemill.settings import Settings

    before = database.upgrade(Settings.from_environment().database_url)
    if before.verdict == "current":
        say(f"{before.database} already has schema {before.head}")
    else:
        was = before.revision or "none"
        say(f"{before.database}: schema {was} → {before.head}")


@db.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say whether the schema is the one this version needs; exit code 1 if not.

    \b
    Example:  versemill db status
    """
    from dataclasses import asdict

    from versemill.cli.terminal.tables import print_json
    from versemill.jobs.storage import database
    from versemill.settings import Settings

    found = database.schema_status(Settings.from_environment().database_url)
    if as_json:
        print_json({**asdict(found), "verdict": found.verdict})
    else:
        say(f"{found.database}: {_in_words(found)}")
    ctx.exit(0 if found.verdict == "current" else 1)


@db.command("copy-to")
@click.argument("url")
def copy_to(url: str) -> None:
    """Copy everything into the empty database at URL, from SQLite to PostgreSQL or back.

    Refused while a worker is alive or a job is being trained. All is verified before it counts;
    after a failure URL is as empty as before. The database copied from stays as it was.

    \b
    Example:  versemill db copy-to postgresql://versemill@localhost/versemill
    """
    from versemill.cli.terminal.screen import screen
    from versemill.jobs.service import transfer
    from versemill.jobs.storage.database import parse_url
    from versemill.redaction import shown
    from versemill.settings import Settings

    parse_url(url, name="URL")
    source = Settings.from_environment().database_url
    with screen(err=True) as screened:
        copied = transfer.copy_to(source, url, status=screened.status)
    _print_copied(copied)
    say(
        f"copied to {shown(url)}: number and checksum of the rows are equal.",
        "Next: set VERSEMILL_DATABASE_URL to it for every command and worker. "
        f"{shown(source)} is as it was; start no worker there",
    )


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Write one consistent state of everything to FILE, also while workers run.

    FILE is an SQLite database that can be used as it is, and copied to PostgreSQL by
    `versemill db copy-to`.

    \b
    Example:  versemill db backup versemill-backup.db
    """
    from versemill.cli.terminal.screen import screen
    from versemill.cli.terminal.tables import size
    from versemill.jobs.service import transfer
    from versemill.settings import Settings

    source = Settings.from_environment().database_url
    with screen(err=True) as screened:
        copied = transfer.backup(source, file, status=screened.status)
    _print_copied(copied)
    say(
        f"wrote {file} ({size(file.stat().st_size)}): number and checksum of the rows are equal.",
        f"To look into it: VERSEMILL_DATABASE_URL=sqlite:///{file.absolute()} versemill jobs",
    )


def _print_copied(copied: Copied) -> None:
    from versemill.cli.installation import note
    from versemill.cli.terminal.tables import table

    rows = [(name, f"{count:,}") for name, count in copied.rows.items()]
    say_text(table(("TABLE", "ROWS"), rows, right="ROWS"))
    for name in copied.damaged:
        note(f"{name} was damaged before, and was copied as it is")


def _in_words(found: SchemaStatus) -> str:
    if found.verdict == "current":
        return f"schema {found.revision}, current"
    if found.verdict == "missing":
        return f"no schema yet (needed: {found.head}); run `versemill db upgrade`"
    if found.verdict == "older":
        return f"schema {found.revision}, needed: {found.head}; run `versemill db upgrade`"
    return f"schema {found.revision}, newer than this version of Versemill ({found.head})"
