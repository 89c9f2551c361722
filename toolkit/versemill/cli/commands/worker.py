"""`worker` starts one; `worker drain` ends one from afar."""

from __future__ import annotations

import os
import sys
import time

import click

from versemill.cli.terminal.output import say
from versemill.normalisation import prepared_name

_POLL_SECONDS = 0.5


@click.group(invoke_without_command=True)
@click.option("--slots", type=click.IntRange(1), help="Jobs at a time; default: 4 per GPU, or 1.")
@click.option("--devices", default="auto", show_default=True, help="auto, cpu, or GPUs like 0,2.")
@click.option("--name", help="A label for people; default: this machine's name.")
@click.option("--label", "labels", multiple=True, help="What jobs may ask for; repeatable.")
@click.option("--avoid-foreign", is_flag=True, help="Leave GPUs alone that outsiders use.")
@click.pass_context
def worker(
    ctx: click.Context,
    slots: int | None,
    devices: str,
    name: str | None,
    labels: tuple[str, ...],
    avoid_foreign: bool,
) -> None:
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
    command += [f"--label={prepared_name(label, '--label')}" for label in labels]
    if avoid_foreign:
        command.append("--avoid-foreign")
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
        leaving = service.drain(here.store, name, here.principal)
        for view in leaving:
            note(f"worker {view.name} ({view.host}, pid {view.pid}) hands over and ends")
        ids = {view.id for view in leaving}
        while any(view.id in ids for view in service.live_workers(here.store)):
            time.sleep(_POLL_SECONDS)
    say(f"drained {name}")
