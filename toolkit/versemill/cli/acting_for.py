"""`--as NAME`: an admin submits or steers for another user. One option for all such commands."""

from __future__ import annotations

import click

_KEY = "versemill.acting_for"
COMMANDS = frozenset(
    {"submit", "run", "priority", "pause", "yield", "resume", "cancel", "retry", "rm"}
)
"""The commands that have it."""


def _remember(ctx: click.Context, _option: click.Parameter, name: str | None) -> None:
    stored = ctx.meta
    stored[_KEY] = name


def with_option(command: click.Command) -> click.Command:
    """The command, with the option."""
    if not any("--as" in option.opts for option in command.params):
        option = click.Option(
            ["--as", "acting_for"],
            metavar="NAME",
            expose_value=False,
            callback=_remember,
            help="For another user; for admins.",
        )
        command.params.append(option)
    return command


def acting_for() -> str | None:
    """For whom the command that runs now is given; None for whoever gives it."""
    from versemill.normalisation import prepared_name

    context = click.get_current_context(silent=True)
    stored = {} if context is None else context.meta
    name = stored.get(_KEY)
    return None if name is None else prepared_name(name, "--as")
