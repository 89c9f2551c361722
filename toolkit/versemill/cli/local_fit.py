"""Whether this installation can go on with a job, found out before the job is touched."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from versemill.errors import JobStateError

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.jobs.views import JobDetails, JobView, WorkerView
    from versemill.plugins.requirements import Need, Plugin

_LET_GO_SECONDS = 5.0
_POLL_SECONDS = 0.25
_MACHINES = """
import sys
from versemill.nn.machine import machines
print(*machines(sys.argv[1]), sep="\\n")
"""


def require_fit(
    here: Installation, job: JobView, *, inexact: bool, accept_change: bool
) -> tuple[JobView, str]:
    """Refuses a job that a worker of this installation could not take now; changes nothing.

    Args:
        here: the installation.
        job: a job that is there already.
        inexact: whether it is to go on although this machine may compute in another way.
        accept_change: whether it is to go on with other versions of its plugins.

    Returns:
        The job as it is now, and the devices to be used (an option of the worker).

    Raises:
        JobStateError: another worker holds it, a plugin is not here, or this machine computes in
            another way.
    """
    from versemill.jobs import service

    job = _let_go(here, job)
    details = service.details(here.store, job.id)
    if job.state == "queued":  # what it was allowed before still holds
        inexact = inexact or details.inexact
    missing = missing_plugins(details, accept_change=accept_change)
    if missing is not None:
        raise JobStateError(missing)
    if inexact or details.plan is None:
        return job, "auto"
    device = details.plan.split()[0]
    _require_machine(job, details.plan, device)
    return job, "cpu" if device == "cpu" else "auto"


def missing_plugins(details: JobDetails, *, accept_change: bool = False) -> str | None:
    """What keeps a job from going on with the plugins that are installed here, and the remedy."""
    from versemill.plugins.registry import Registry
    from versemill.plugins.requirements import any_version, from_json, lacking, offered

    registry = Registry.discover()
    has = offered(registry)
    needs = any_version(details.plugins) if accept_change else from_json(details.needs)
    lacks = lacking(needs, has)
    if not lacks:
        return None
    told = [f"{_label(details.job)} cannot go on here: it needs {', '.join(map(str, lacks))}"]
    others = [_other(plugin) for need in lacks for plugin in has if _same_name(need, plugin)]
    told += others or ["not installed here" if len(lacks) == 1 else "not all installed here"]
    wanted = {need.distribution for need in lacks}
    told += [
        f"{plugin.distribution} is disabled: {plugin.reason}"
        for plugin in registry.disabled
        if plugin.distribution in wanted
    ]
    remedy = "install it" if len(lacks) == 1 else "install them"
    if len(others) == len(lacks):
        remedy += f", or `versemill run {details.job.id} --accept-change`"
    return f"{'; '.join(told)}; {remedy}"


def _let_go(here: Installation, job: JobView) -> JobView:
    """The job once nobody works on it; one that was just handed over takes a moment.

    Raises:
        JobStateError: a live worker holds it.
    """
    from versemill.jobs import service

    deadline = time.monotonic() + _LET_GO_SECONDS
    while job.state == "running" and job.state_shown != "interrupted":
        alive = [w for w in service.live_workers(here.store) if w.name == job.worker]
        if not any(map(_may_be_there, alive)):
            break  # its lease will expire
        if time.monotonic() > deadline:
            raise JobStateError(
                f"{_label(job)} is running on worker {job.worker}; `versemill wait {job.id}` waits "
                f"for its end, `versemill pause {job.id}` stops it there"
            )
        time.sleep(_POLL_SECONDS)
        job = service.find(here.store, str(job.id))
    return job


def _may_be_there(worker: WorkerView) -> bool:
    """Whether a worker that was seen within its lease may still be running."""
    if worker.host != socket.gethostname():
        return True
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _require_machine(job: JobView, plan: str, device: str) -> None:
    # In a process of its own, which takes torch and the GPU with it when it ends.
    command = [sys.executable, "-P", "-c", _MACHINES, device]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    found = done.stdout.splitlines()
    if plan not in found:
        here = f"this is {' and '.join(found)}" if found else f"there is no {device} here"
        raise JobStateError(
            f"{_label(job)} goes on bit for bit only on {plan}; {here}; run it there, or allow "
            f"small differences: `versemill run {job.id} --inexact`"
        )


def _same_name(need: Need, plugin: Plugin) -> bool:
    return (need.kind, need.name) == (plugin.kind, plugin.name)


def _other(plugin: Plugin) -> str:
    return f"here is {plugin.kind} {plugin.name!r} from {plugin.distribution} {plugin.version}"


def _label(job: JobView) -> str:
    return f"job {job.id} ({job.name})"
