"""What plugin authors import: hooks, contracts, and what a run tells trackers.

    from versemill.plugins import Cell, Text, hookimpl

This package and `versemill.testing` are the stable surface; everything else may move. Importing
it imports nothing heavy: each name is imported when it is first used, so that only `Cell` and
`State` need torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from versemill.config.validation import NoOptions, Options
    from versemill.errors import ConfigError, CorpusError
    from versemill.plugins.cell import Cell, Noise, State
    from versemill.plugins.contracts import (
        CellSize,
        Corpus,
        Decoder,
        Sampler,
        Tokenizer,
        TokenizerBounds,
    )
    from versemill.plugins.hookspecs import Registrar, hookimpl
    from versemill.plugins.run_events import EpochReport, Finished, HeldOut, Lyric, Progress
    from versemill.plugins.tracker import AttemptStart, Ending, Tracker
    from versemill.text.corpus import Text

__all__ = [
    "AttemptStart",
    "Cell",
    "CellSize",
    "ConfigError",
    "Corpus",
    "CorpusError",
    "Decoder",
    "Ending",
    "EpochReport",
    "Finished",
    "HeldOut",
    "Lyric",
    "NoOptions",
    "Noise",
    "Options",
    "Progress",
    "Registrar",
    "Sampler",
    "State",
    "Text",
    "Tokenizer",
    "TokenizerBounds",
    "Tracker",
    "hookimpl",
]

_PLACES = {
    "versemill.config.validation": ("NoOptions", "Options"),
    "versemill.errors": ("ConfigError", "CorpusError"),
    "versemill.plugins.cell": ("Cell", "Noise", "State"),
    "versemill.plugins.contracts": (
        "CellSize",
        "Corpus",
        "Decoder",
        "Sampler",
        "Tokenizer",
        "TokenizerBounds",
    ),
    "versemill.plugins.hookspecs": ("Registrar", "hookimpl"),
    "versemill.plugins.run_events": ("EpochReport", "Finished", "HeldOut", "Lyric", "Progress"),
    "versemill.plugins.tracker": ("Ending", "AttemptStart", "Tracker"),
    "versemill.text.corpus": ("Text",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
