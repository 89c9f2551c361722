"""Whose code raised: the plugin that an error's traceback leads through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.plugins.discovery import FOLDER_PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from versemill.plugins.registry import Registration, Registry

_OURS = "versemill"


def culprit(error: BaseException, registry: Registry) -> Registration | None:
    """The registration whose code an error came out of, or passed through last.

    Strangers go before built-ins, whose code they may have called with something impossible.

    A call that does not fit its signature never gets to run; Python's message names the class.

    Returns:
        None if no plugin's code was running. Of several things in one module, the one whose
        class or function was running, else the first.
    """
    frames = list(_frames(error))[::-1]
    offered = registry.all()
    for ours in (False, True):
        plugins = [r for r in offered if (r.distribution == _OURS) is ours]
        for frame in frames:
            suspects = [r for r in plugins if _root(r) == _package(_module(frame))]
            if suspects:
                return max(suspects, key=lambda r: _likeness(r, frames))
    called = str(error) if isinstance(error, TypeError) else ""
    return next((r for r in offered if f"{r.target.partition(':')[2]}." in called), None)


def _likeness(registration: Registration, frames: list[FrameType]) -> int:
    """2 if its own class or function was running, 1 if its module was."""
    module, _, attribute = registration.target.partition(":")
    running = [f.f_code.co_qualname.split(".") for f in frames if _module(f) == module]
    return any(attribute in names for names in running) + bool(running)


def _frames(error: BaseException) -> Iterator[FrameType]:
    place = error.__traceback__
    while place is not None:
        yield place.tb_frame
        place = place.tb_next


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _root(registration: Registration) -> str:
    return _package(registration.target.partition(":")[0])


def _package(module: str) -> str:
    """The outermost package of a module; in the plugin folder, the one below that."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == FOLDER_PACKAGE else 1])
