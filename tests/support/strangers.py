"""Plugins that are nothing but a registration."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from versemill.plugins import hookimpl

TARGETS = {
    "cell": "versemill_plugins.cells.rnn:Rnn",
    "sampler": "versemill_plugins.samplers.random:RandomSampler",
    "tokenizer": "versemill_plugins.tokenizers.char:CharacterTokenizer",
    "decoder": "versemill_plugins.decoders.greedy:Greedy",
}


def stranger(kind: str, name: str, **given: Any) -> ModuleType:
    """A plugin that registers one thing, such as `stranger("cell", "fancy", estimate=size)`."""
    module = ModuleType(f"offers_{name}")

    def offer(register: Any) -> None:
        register(name, TARGETS[kind], summary="a stranger's", **given)

    offer.__name__ = f"versemill_register_{kind}s"
    setattr(module, offer.__name__, hookimpl(offer))
    return module
