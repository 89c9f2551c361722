"""`workers`: lists those that are alive."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say_text

if TYPE_CHECKING:
    from versemill.jobs.views import DeviceView, WorkerView

_SHOWN = 3
_GPU_HEADER = ("WORKER", "GPU", "JOBS", "MEMORY", "FREE", "OUTSIDE", "COMPUTES")


@click.command()
@click.option("--here", "only_here", is_flag=True, help="This machine's; exit code 1 if none is.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
@click.pass_context
def workers(ctx: click.Context, only_here: bool, as_json: bool) -> None:
    """List the workers that are alive.

    A worker is alive if it has looked for work within the last 30 seconds, so that
    `workers --here` is also the health check of a container.

    GPUs follow in a table of their own: the jobs on each, of whichever worker, its memory, how much
    of it was free when it was last measured, and how much processes outside the queue use.

    \b
    Example:  versemill workers --json
    """
    from versemill.cli.installation import installation, note
    from versemill.cli.terminal.tables import ago, print_json, table
    from versemill.jobs import service

    with installation() as here:
        alive = service.live_workers(here.store)
        gpus = service.devices_in_use(here.store)
    if only_here:
        alive = [view for view in alive if view.host == socket.gethostname()]
    code = 1 if only_here and not alive else 0
    if as_json:
        print_json([_json(view, gpus) for view in alive])
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
    say_text(table(header, rows, right="PID"))
    gpus = [gpu for gpu in gpus if gpu.worker in {view.name for view in alive}]
    if gpus:
        say_text("\n" + table(_GPU_HEADER, map(_gpu, gpus), right=" ".join(_GPU_HEADER[2:])))


def _json(worker: WorkerView, gpus: list[DeviceView]) -> dict[str, object]:
    return worker.to_json() | {"gpus": [gpu.to_json() for gpu in gpus if gpu.worker == worker.name]}


def _gpu(view: DeviceView) -> tuple[object, ...]:
    from versemill.cli.terminal.tables import NONE
    from versemill.jobs.devices import FOREIGN_BYTES, in_gigabytes

    def shown(size: int | None) -> str:
        return NONE if size is None else in_gigabytes(size)

    return (
        view.worker,
        f"{view.index} {view.name}",
        f"{len(view.jobs)} of {view.most_jobs}",
        shown(view.memory),
        shown(view.free),
        shown(view.foreign if view.foreign >= FOREIGN_BYTES else 0),
        NONE if view.utilisation is None else f"{view.utilisation} %",
    )


def _plugins(view: WorkerView) -> str:
    """The distributions of its plugins, Versemill's own aside; a few of many."""
    plugins = view.plugins or ()
    found = {(p.distribution, p.version) for p in plugins if p.distribution != "versemill"}
    shown = sorted(f"{distribution} {version}" for distribution, version in found)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
