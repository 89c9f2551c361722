"""Whether this installation can go on with a job, found out before the job is touched."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from versemill.errors import JobStateError
from versemill.processes import code_command

if TYPE_CHECKING:
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobDetails, JobView, WorkerView
    from versemill.plugins.requirements import OfferedPlugin, Requirement

_RELEASE_SECONDS = 5.0
_POLL_SECONDS = 0.25
_MACHINES = """
import sys
from versemill.nn.machine import machines
print(*machines(sys.argv[1]), sep="\\n")
"""


def require_fit(
    store: Store, job: JobView, *, inexact: bool, accept_change: bool
) -> tuple[JobView, str]:
    """Refuses a job that a worker of this installation could not take now; changes nothing.

    Args:
        store: where the job is.
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

    job = _wait_for_release(store, job)
    details = service.details(store, job.id)
    if job.state == "queued":  # what it was allowed before still holds
        inexact = inexact or details.inexact
    require_plugins(details, accept_change=accept_change)
    if inexact or details.machine is None:
        return job, "auto"
    device = details.machine.split()[0]
    _require_machine(job, details.machine, device)
    return job, "cpu" if device == "cpu" else "auto"


def require_plugins(details: JobDetails, *, accept_change: bool = False) -> None:
    """Raises `JobStateError` if a job cannot go on with the plugins that are installed here."""
    from versemill.plugins.registry import Registry
    from versemill.plugins.requirements import any_version, lacking, offered

    registry = Registry.discover()
    has = offered(registry)
    required = any_version(details.plugins) if accept_change else details.requirements
    lacks = lacking(required, has)
    if not lacks:
        return
    parts = [f"{_label(details.job)} cannot go on here: it needs {', '.join(map(str, lacks))}"]
    others = [_other(plugin) for lack in lacks for plugin in has if _same_name(lack, plugin)]
    parts += others or ["not installed here" if len(lacks) == 1 else "not all installed here"]
    wanted = {lack.distribution for lack in lacks}
    parts += [
        f"{plugin.distribution} is disabled: {plugin.reason}"
        for plugin in registry.disabled
        if plugin.distribution in wanted
    ]
    changed = len(others) == len(lacks)
    raise JobStateError(
        "; ".join(parts),
        reason="plugins-changed" if changed else "plugins-missing",
        job_id=details.job.id,
        missing=[str(lack) for lack in lacks],
    )


def _wait_for_release(store: Store, job: JobView) -> JobView:
    """The job once nobody works on it; one that was just handed over takes a moment.

    Raises:
        JobStateError: a live worker holds it.
    """
    from versemill.jobs import service

    deadline = time.monotonic() + _RELEASE_SECONDS
    while job.state == "running" and job.state_shown != "interrupted":
        alive = [w for w in service.live_workers(store) if w.name == job.worker]
        if not any(map(_may_be_alive, alive)):
            break  # its lease will expire
        if time.monotonic() > deadline:
            raise JobStateError(
                f"{_label(job)} is running on worker {job.worker}", reason="held", job_id=job.id
            )
        time.sleep(_POLL_SECONDS)
        job = service.find(store, str(job.id))
    return job


def _may_be_alive(worker: WorkerView) -> bool:
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


def _require_machine(job: JobView, machine: str, device: str) -> None:
    # In a process of its own, which takes torch and the GPU with it when it ends.
    command = code_command(_MACHINES, device)
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    found = done.stdout.splitlines()
    if machine not in found:
        here = f"this is {' and '.join(found)}" if found else f"there is no {device} here"
        raise JobStateError(
            f"{_label(job)} goes on bit for bit only on {machine}; {here}",
            reason="other-machine",
            job_id=job.id,
            machine=machine,
        )


def _same_name(lack: Requirement, plugin: OfferedPlugin) -> bool:
    return (lack.kind, lack.name) == (plugin.kind, plugin.name)


def _other(plugin: OfferedPlugin) -> str:
    return f"here is {plugin.kind} {plugin.name!r} from {plugin.distribution} {plugin.version}"


def _label(job: JobView) -> str:
    return f"job {job.id} ({job.name})"
