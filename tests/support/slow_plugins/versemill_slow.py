"""Built-ins that wait: a job takes time, for what is done to it meanwhile, and little of a core."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from versemill.plugins import hookimpl
from versemill_plugins.samplers.consecutive import ConsecutiveSampler

if TYPE_CHECKING:
    from torch import Generator, Tensor

SECONDS = 0.1


class SlowSampler(ConsecutiveSampler):
    """Waits before each epoch."""

    def starts(self, generator: Generator) -> Tensor:
        time.sleep(SECONDS)
        return super().starts(generator)


class SlowDecoder:
    """Waits for each character of a report's lyrics, for jobs whose sampler is another."""

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        time.sleep(SECONDS / 4)
        return logits_BV


@hookimpl
def versemill_register_samplers(register: Any) -> None:
    register("slow", "versemill_slow:SlowSampler", summary="waits before each epoch")


@hookimpl
def versemill_register_decoders(register: Any) -> None:
    register("slow", "versemill_slow:SlowDecoder", summary="waits for each character")
