"""`users`: who is admin, what each may have at once, and who is disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say, say_text
from versemill.phrases import counted

if TYPE_CHECKING:
    from versemill.jobs.views import UserView

ROLES = click.Choice(["admin", "member"])
_HEADER = (
    "NAME", "ROLE", "RUNNING", "WAITING", "MAX RUNNING", "MAX QUEUED", "MAX GPUS", "MAX URGENT"
)  # fmt: skip

if TYPE_CHECKING:
    _ParamType = click.ParamType[int | str]
else:
    _ParamType = click.ParamType  # cannot be subscripted in older versions of click


class _Limit(_ParamType):
    name = "N|none"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        text = str(value)
        if text == "none":
            return text
        if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004
            self.fail(f"{text!r} is not a whole number or none.", param, ctx)
        return int(text)


LIMIT = _Limit()


@click.group()
def users() -> None:
    """List and change users, roles and limits.

    Users exist from the first thing they do. The first of all is admin, all others are members.
    """


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_(as_json: bool) -> None:
    """List users: their roles, how many jobs they have, and their limits.

    \b
    Example:  versemill users list
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import print_json, table
    from versemill.jobs import service

    with installation() as here:
        found = service.list_users(here.store)
    if as_json:
        print_json([user.to_json() for user in found])
    elif found:
        right = "RUNNING WAITING"
        say_text(table(_HEADER, map(_row, found), right=right))
    else:
        say("no users yet; whoever submits the first job is admin", err=True)


def _row(user: UserView) -> tuple[object, ...]:
    role = f"{user.role}, disabled" if user.disabled else str(user.role)
    urgent = None if user.role == "admin" else user.urgent_limit
    limits = (user.running_limit, user.queued_limit, user.gpu_limit, urgent)
    return (user.name, role, user.running, user.queued, *limits)


@users.command()
@click.argument("name")
@click.option("--role", type=ROLES, default="member", show_default=True, help="Their role.")
def add(name: str, role: str) -> None:
    """Add a user who has done nothing yet.

    \b
    Example:  versemill users add bo --role admin
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service
    from versemill.jobs.states import Role

    with installation() as here:
        user = service.add_user(here.store, name, Role(role), here.principal)
    say(f"added {user.name}, {user.role}")


@users.command("set")
@click.argument("name")
@click.option("--role", type=ROLES, required=True, help="Their new role.")
def set_(name: str, role: str) -> None:
    """Make a user admin or member.

    \b
    Example:  versemill users set bo --role member
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service
    from versemill.jobs.states import Role

    with installation() as here:
        user = service.set_role(here.store, name, Role(role), here.principal)
    say(f"{user.name} is {user.role}")


@users.command()
@click.argument("name")
@click.option("--running", type=LIMIT, help="Jobs that run at once.")
@click.option("--queued", type=LIMIT, help="Jobs that wait.")
@click.option("--gpus", type=LIMIT, help="GPUs held at once.")
@click.option("--urgent", type=LIMIT, help="Urgent jobs that wait or run; 0 at first.")
def limit(name: str, **limits: int | str | None) -> None:
    """Limit what a user may have at once: a number, 0 to hold everything, or none.

    What runs or waits already goes on; a limit only keeps new ones back.

    \b
    Example:  versemill users limit bo --running 4 --gpus 2 --urgent none
    """
    from versemill.cli.installation import installation, note
    from versemill.jobs import service

    given = {kind: value for kind, value in limits.items() if value is not None}
    if not given:
        raise click.UsageError("give at least one limit.")
    numbers = {kind: None if value == "none" else int(value) for kind, value in given.items()}
    with installation() as here:
        user = service.set_limits(here.store, name, numbers, here.principal)
    shown = ", ".join(f"{kind} {value}" for kind, value in given.items())
    say(f"{user.name}: {shown}")
    there = {"running": user.running, "queued": user.queued, "urgent": user.urgent}
    for kind, number in there.items():
        most = numbers.get(kind)
        if most is not None and number > most:
            what = {"running": "running job", "queued": "waiting job", "urgent": "urgent job"}[kind]
            note(f"{user.name} has {counted(number, what)} now, which go on; new ones are held")


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Hold a user's waiting jobs, and let them add none; what runs goes on.

    \b
    Example:  versemill users disable bo
    """
    _set_disabled(name, disabled=True)


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled user's jobs start again.

    \b
    Example:  versemill users enable bo
    """
    _set_disabled(name, disabled=False)


def _set_disabled(name: str, *, disabled: bool) -> None:
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        user = service.set_disabled(here.store, name, disabled, here.principal)
    has = f"{counted(user.queued, 'waiting job')}, {counted(user.running, 'running job')}"
    say(f"{user.name} is {'disabled' if disabled else 'enabled'} ({has})")
