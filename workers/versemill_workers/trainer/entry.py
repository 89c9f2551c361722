"""Where a trainer process begins. Light, since the worker imports it too: no torch here."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PRELOADED = ["versemill_workers.trainer.preloaded"]
"""What the fork server imports before it forks."""


def report_machine(pipe: Connection, device: str, environment: dict[str, str]) -> None:
    """Reports what kind of machine a slot is (`KernelPlan.machine`).

    The worker itself imports no torch. Once this has run, the fork server is warm, too.
    """
    os.environ.update(environment)
    from versemill.nn.machine import KernelPlan

    with contextlib.suppress(OSError):  # the worker may have ended meanwhile
        pipe.send_bytes(KernelPlan.current(device=device).machine.encode())


def report_plugins(pipe: Connection, device: str, environment: dict[str, str]) -> None:  # noqa: ARG001
    """Reports which plugins a trainer finds (`requirements.offered`)."""
    os.environ.update(environment)
    from versemill.plugins.registry import Registry
    from versemill.plugins.requirements import offered

    found = [asdict(plugin) for plugin in offered(Registry.discover())]
    with contextlib.suppress(OSError):
        pipe.send_bytes(json.dumps(found).encode())


def main(pipe: Connection, order_json: str) -> None:
    """Runs a trainer in this process."""
    from versemill_workers.trainer import process

    process.main(pipe, order_json)
