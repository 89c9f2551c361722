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


def third_party(kind: str, name: str, **given: Any) -> ModuleType:
    """A plugin that registers one thing, such as `third_party("cell", "fancy", estimate=size)`."""
    module = ModuleType(f"offers_{name}")

    def offer(register: Any) -> None:
        register(name, TARGETS[kind], summary="third-party", **given)

    offer.__name__ = f"versemill_register_{kind}s"
    setattr(module, offer.__name__, hookimpl(offer))
    return module
