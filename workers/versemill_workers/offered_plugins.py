"""What a worker is and has: kinds of machine, and plugins, as its trainers find them.

Asked of processes forked as trainers are: the worker itself imports neither torch nor a plugin,
and one that hangs or ends its process costs the worker nothing.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from versemill.plugins.requirements import offered_from_json
from versemill_workers.devices import environment, torch_device
from versemill_workers.trainer import entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerContext

    from versemill.jobs.devices import Device
    from versemill.plugins.requirements import OfferedPlugin

logger = logging.getLogger("versemill.worker")

PLUGINS_SECONDS = 30.0


def machine(context: ForkServerContext, device: Device) -> str:
    """What kind of machine a device makes (`KernelPlan.machine`); the fork server is warm then.

    Raises:
        OSError: no process could be started.
        EOFError: it ended without an answer.
    """
    answer = _answer(context, entry.report_machine, device, None)
    return answer.decode()


def plugins(context: ForkServerContext, device: Device) -> tuple[OfferedPlugin, ...]:
    """The plugins that a trainer would find now; none if finding them hangs or ends a process.

    Raises:
        OSError: no process could be started.
    """
    try:
        answer = _answer(context, entry.report_plugins, device, PLUGINS_SECONDS)
    except (EOFError, TimeoutError):
        logger.error(  # noqa: TRY400 - where it was raised says nothing
            "no plugins: finding them ends the process or takes more than %.0f s; this worker can "
            "take no job until that is mended: `versemill doctor` names the plugin",
            PLUGINS_SECONDS,
        )
        return ()
    return offered_from_json(json.loads(answer))


def _answer(
    context: ForkServerContext, report: Callable[..., None], device: Device, seconds: float | None
) -> bytes:
    """What a process of its own sends back."""
    ours, theirs = context.Pipe(duplex=False)
    arguments = (theirs, torch_device(device), environment(device))
    process = context.Process(target=report, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        with ours:
            if not ours.poll(seconds):
                raise TimeoutError
            return ours.recv_bytes()
    finally:
        process.join(1.0)
        process.kill()  # nothing, once it has ended
