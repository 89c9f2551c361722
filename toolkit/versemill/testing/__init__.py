"""Conformance suites: what every plugin of a kind must keep, ready to be subclassed in pytest.

    from versemill.testing import CellTests

    class TestMyCell(CellTests):
        name = "mycell"

`versemill plugins check NAME` runs the same checks without pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from versemill.testing.cells import CellTests
    from versemill.testing.corpora import CorpusTests
    from versemill.testing.decoders import DecoderTests
    from versemill.testing.samplers import SamplerTests
    from versemill.testing.tokenizers import TokenizerTests
    from versemill.testing.trackers import TrackerTests

_PLACES = {
    "CellTests": "cells",
    "CorpusTests": "corpora",
    "DecoderTests": "decoders",
    "SamplerTests": "samplers",
    "TokenizerTests": "tokenizers",
    "TrackerTests": "trackers",
}

__all__ = [
    "CellTests",
    "CorpusTests",
    "DecoderTests",
    "SamplerTests",
    "TokenizerTests",
    "TrackerTests",
]


def __getattr__(name: str) -> Any:
    """Imports a suite when it is asked for: a corpus is tested without torch."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
