"""The command group. Commands are imported when they are called, or listed in the help."""

from __future__ import annotations

import importlib

import click

from versemill.cli import acting_for

SECTIONS: dict[str, dict[str, str]] = {
    "Train": {
        "demo": "commands.demo:demo",
        "run": "commands.run:run",
        "submit": "commands.submit:submit",
        "worker": "commands.worker:worker",
    },
    "Look": {
        "jobs": "commands.jobs:jobs",
        "show": "commands.show:show",
        "curve": "commands.curve:curve",
        "lyrics": "commands.lyrics:lyrics",
        "logs": "commands.logs:logs",
        "workers": "commands.workers:workers",
        "top": "commands.top:top",
        "stats": "commands.stats:stats",
    },
    "Write and measure": {
        "generate": "commands.generate:generate",
        "evaluate": "commands.evaluate:evaluate",
        "checkpoints": "commands.checkpoints:checkpoints",
    },
    "Steer": {
        "wait": "commands.wait:wait",
        "pause": "commands.pause:pause",
        "yield": "commands.yield_:yield_",
        "priority": "commands.priority:priority",
        "reserve": "commands.reserve:reserve",
        "reservations": "commands.reservations:reservations",
        "resume": "commands.resume:resume",
        "cancel": "commands.cancel:cancel",
        "retry": "commands.retry:retry",
        "rm": "commands.rm:rm",
    },
    "Set up": {
        "users": "commands.users:users",
        "notify": "commands.notify:notify",
        "corpora": "commands.corpora:corpora",
        "plugins": "commands.plugins:plugins",
        "db": "commands.db:db",
        "doctor": "commands.doctor:doctor",
        "verify-resume": "commands.verify_resume:verify_resume",
    },
}
"""Help sections, and where each command is: `module:attribute` below `versemill.cli`."""

_PLACES = {name: place for commands in SECTIONS.values() for name, place in commands.items()}


class Program(click.Group):
    """A group that knows where its commands are without having imported them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names, in the order of the help."""
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Imports the module of one command."""
        if cmd_name not in _PLACES:
            return None
        module, _, attribute = _PLACES[cmd_name].partition(":")
        found = getattr(importlib.import_module(f"versemill.cli.{module}"), attribute)
        assert isinstance(found, click.Command)  # noqa: S101 - the table above is ours
        return acting_for.with_option(found) if cmd_name in acting_for.COMMANDS else found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command; suggests the nearest when there is none of that name."""
        name = args[0]
        if name not in _PLACES and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, _PLACES, n=1, cutoff=0.5)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no command named {name!r}{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list per section instead of one long one."""
        for title, names in SECTIONS.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None  # noqa: S101 - the table above is ours
                rows.append((name, command.get_short_help_str(limit=70)))
            with formatter.section(title):
                formatter.write_dl(rows, col_max=14)


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from versemill.cli.terminal.output import say

        say(f"versemill {version('versemill')}")
        ctx.exit()


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def program(ctx: click.Context) -> None:
    """Train recurrent networks on lyrics, queue the jobs durably, and let them write.

    Nothing needs to be configured. JOB is always a job's id, its unique name, or @last.

    \b
    Begin with:  versemill demo
    Then try:    versemill run --corpus lyrics.txt --cell lstm
                 versemill generate @last --prefix 分开 --length 100
    """
    if ctx.invoked_subcommand is None:
        from versemill.cli.terminal.output import say_text

        say_text(ctx.get_help())
