"""`reservations`: lists them; `reservations cancel` ends one."""

from __future__ import annotations

import click

from versemill.cli.terminal.output import say, say_text

_HEADER = ("ID", "TARGET", "FOR", "FROM", "UNTIL", "NOW", "MADE BY")


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_context
def reservations(ctx: click.Context, as_json: bool) -> None:
    """List reservations that hold or are to come.

    \b
    Example:  versemill reservations
    """
    if ctx.invoked_subcommand is not None:
        return
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import print_json, table
    from versemill.jobs import service

    with installation() as here:
        found = service.reservations(here.store)
    if as_json:
        print_json([view.to_json() for view in found])
    elif found:
        rows = [
            (
                view.id,
                view.target,
                view.whose,
                f"{view.starts_at.astimezone():%Y-%m-%d %H:%M}",
                f"{view.ends_at.astimezone():%Y-%m-%d %H:%M}",
                "yes" if view.active else "no",
                view.created_by,
            )
            for view in found
        ]
        say_text(table(_HEADER, rows, right="ID"))
    else:
        say("no reservations", err=True)


@reservations.command()
@click.argument("number", type=int)
def cancel(number: int) -> None:
    """End a reservation, or keep it from beginning. For admins.

    \b
    Example:  versemill reservations cancel 3
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        gone = service.cancel_reservation(here.store, number, here.principal)
    say(f"cancelled {gone}")
