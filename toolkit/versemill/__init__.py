"""Versemill: recurrent text generation with plugins and a durable queue of training jobs.

    import versemill
    versemill.load("@last").generate("分开", length=50, seed=7)

Importing the package imports nothing heavy; names arrive when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from versemill.jobs.service.trained_models import load

    __version__: str

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> object:
    if name == "load":
        from versemill.jobs.service.trained_models import load

        return load
    if name == "__version__":
        from importlib.metadata import version

        return version("versemill")
    raise AttributeError(f"module 'versemill' has no attribute {name!r}")
