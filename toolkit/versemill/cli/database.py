"""`db`: the schema of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from versemill.jobs.database import SchemaStatus


@click.group()
def db() -> None:
    """Look after the database's schema."""


@db.command()
def upgrade() -> None:
    """Bring the schema to what this version of Versemill needs.

    SQLite is created by itself at first use; PostgreSQL changes only by this command. Stop the
    workers first.

    \b
    Example:  versemill db upgrade
    """
    from versemill.jobs import database
    from versemill.settings import Settings

    before = database.upgrade(Settings.from_environment().database_url)
    if before.verdict == "current":
        click.echo(f"{before.database} already has schema {before.head}")
    else:
        was = before.revision or "none"
        click.echo(f"{before.database}: schema {was} → {before.head}")


@db.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say whether the schema is the one this version needs; exit code 1 if not.

    \b
    Example:  versemill db status
    """
    from dataclasses import asdict

    from versemill.cli.tables import print_json
    from versemill.jobs import database
    from versemill.settings import Settings

    found = database.schema_status(Settings.from_environment().database_url)
    if as_json:
        print_json({**asdict(found), "verdict": found.verdict})
    else:
        click.echo(f"{found.database}: {_in_words(found)}")
    ctx.exit(0 if found.verdict == "current" else 1)


def _in_words(found: SchemaStatus) -> str:
    if found.verdict == "current":
        return f"schema {found.revision}, current"
    if found.verdict == "missing":
        return f"no schema yet (needed: {found.head}); run `versemill db upgrade`"
    if found.verdict == "older":
        return f"schema {found.revision}, needed: {found.head}; run `versemill db upgrade`"
    return f"schema {found.revision}, newer than this version of Versemill ({found.head})"
