"""`worker` starts one, `worker drain` ends one from afar, `workers` lists those alive."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING

import click

from versemill.normalisation import prepared_name

if TYPE_CHECKING:
    from versemill.jobs.views import WorkerView

_POLL_SECONDS = 0.5
_SHOWN = 3


@click.group(invoke_without_command=True)
@click.option("--slots", type=click.IntRange(1), help="Jobs at a time; default: one per device.")
@click.option("--devices", default="auto", show_default=True, help="auto, cpu, or GPUs like 0,2.")
@click.option("--name", help="A label for people; default: this machine's name.")
@click.pass_context
def worker(ctx: click.Context, slots: int | None, devices: str, name: str | None) -> None:
    """Work on queued jobs until told to end.

    The first Ctrl-C (or SIGTERM) hands over: each job is checkpointed and queued again. The
    second ends at once.

    \b
    Example:  versemill worker --slots 2 --name attic
    """
    if ctx.invoked_subcommand is not None:
        return
    from versemill.jobs.service.local_worker import worker_command

    command = [*worker_command(), "--devices", devices]
    if slots is not None:
        command += ["--slots", str(slots)]
    if name is not None:
        name = prepared_name(name, "--name")
        command.append(f"--name={name}")  # in one piece: a name may begin with a dash
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - the very process becomes the worker


@worker.command()
@click.argument("name")
def drain(name: str) -> None:
    """Tell a worker to hand its jobs over and end, and wait for it.

    Works from any machine, on every worker of that name. Ctrl-C only ends the waiting.

    \b
    Example:  versemill worker drain gpu-2
    """
    from versemill.cli.installation import installation, note
    from versemill.jobs import service

    with installation() as here:
        leaving = service.drain(here.store, name, here.settings.user)
        for view in leaving:
            note(f"worker {view.name} ({view.host}, pid {view.pid}) hands over and ends")
        ids = {view.id for view in leaving}
        while any(view.id in ids for view in service.live_workers(here.store)):
            time.sleep(_POLL_SECONDS)
    click.echo(f"drained {name}")


@click.command()
@click.option("--here", "only_here", is_flag=True, help="This machine's; exit code 1 if none is.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_context
def workers(ctx: click.Context, only_here: bool, as_json: bool) -> None:
    """List the workers that are alive.

    A worker is alive if it has looked for work within the last 30 seconds, so that
    `workers --here` is also the health check of a container.

    \b
    Example:  versemill workers --json
    """
    from versemill.cli.installation import installation, note
    from versemill.cli.terminal.tables import ago, print_json, table
    from versemill.jobs import service

    with installation() as here:
        alive = service.live_workers(here.store)
    if only_here:
        alive = [view for view in alive if view.host == socket.gethostname()]
    code = 1 if only_here and not alive else 0
    if as_json:
        print_json([view.to_json() for view in alive])
        ctx.exit(code)
    if not alive:
        where = " on this machine" if only_here else ""
        note(f"no worker is running{where}; start one with `versemill worker`")
        ctx.exit(code)
    header = ("NAME", "HOST", "PID", "BUSY", "STARTED", "SEEN", "VERSION", "PLUGINS")
    rows = [
        (
            view.name,
            view.host,
            view.pid,
            f"{view.busy} of {view.slots}",
            ago(view.started_at),
            ago(view.seen_at),
            view.version,
            _plugins(view),
        )
        for view in alive
    ]
    click.echo(table(header, rows, right="PID"))


def _plugins(view: WorkerView) -> str:
    """The distributions of its plugins, Versemill's own aside; a few of many."""
    plugins = view.plugins or ()
    found = {(p["distribution"], p["version"]) for p in plugins if p["distribution"] != "versemill"}
    shown = sorted(f"{distribution} {version}" for distribution, version in found)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
