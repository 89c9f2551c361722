"""`notify`: has people told what happens to their jobs."""

from __future__ import annotations

import sys

import click

from versemill.cli.exit_codes import FAILED
from versemill.cli.terminal.output import say, say_text

_EVENTS = ("ended", "failed", "waiting", "preempted")


@click.group()
def notify() -> None:
    """Be told by e-mail, chat or webhook what happens to your jobs.

    Workers send the messages. They need the extra: pip install 'versemill[notify]'
    """


@notify.command()
@click.argument("url")
@click.option(
    "--on",
    "events",
    default=",".join(_EVENTS),
    show_default=True,
    help="What to tell, separated by commas.",
)
def add(url: str, events: str) -> None:
    """Tell URL, as apprise writes it, what happens to your jobs; - reads it from standard input.

    \b
    Examples:  versemill notify add mailto://mail.example.org?to=me@example.org
               versemill notify add jsons://example.org/hook --on failed,waiting
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    if url == "-":
        url = sys.stdin.readline().strip()
    wanted = [event.strip() for event in events.split(",") if event.strip()]
    with installation() as here:
        added = service.subscribe(here.store, url, here.principal, events=wanted)
    told = ", ".join(added.events)
    say(f"subscription {added.id}: {added.receiver} is told of {told}")


@notify.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_(as_json: bool) -> None:
    """List where you are told, and what has become of the messages.

    \b
    Example:  versemill notify list
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import print_json, table
    from versemill.jobs import service

    with installation() as here:
        found = service.subscriptions(here.store, here.principal)
    if as_json:
        print_json([each.to_json() for each in found])
    elif found:
        header = ("ID", "RECEIVER", "ON", "SENT", "TO SEND", "FAILED", "LAST ERROR")
        rows = [
            (s.id, s.receiver, ",".join(s.events), s.sent, s.waiting, s.failed, s.last_error)
            for s in found
        ]
        say_text(table(header, rows, right="ID SENT FAILED"))
    else:
        say("you are told nowhere; `versemill notify add URL`", err=True)


@notify.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**31 - 1))
def remove(number: int) -> None:
    """Stop telling a receiver.

    \b
    Example:  versemill notify remove 1
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        service.unsubscribe(here.store, number, here.principal)
    say(f"removed subscription {number}")


@notify.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, 2**31 - 1))
@click.pass_context
def test(ctx: click.Context, number: int) -> None:
    """Send a test message from here, and say what has become of it.

    \b
    Example:  versemill notify test 1
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        outcome = service.send_test(here.store, number, here.principal)
    if outcome.kind == "sent":
        say("sent")
        return
    say(f"versemill: not sent: {outcome.why}", err=True)
    ctx.exit(FAILED)
