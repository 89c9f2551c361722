"""Windows in random order. Shapes: B batch, S steps of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


class RandomSampler:
    """Non-overlapping windows at fixed offsets, in a new random order each epoch.

    The windows start at 0, T, 2T, …; the state starts from zero for each batch, and the last
    batch is dropped when incomplete. Deterministic for a given generator state.
    """

    carries_state: ClassVar[bool] = False
    covers_text: ClassVar[bool] = True

    def __init__(self, length: int, batch_size: int, window: int) -> None:
        self._batch_size = batch_size
        self._window = window
        self._windows = max(0, length - 1) // window  # the last target needs one id more
        self.steps = self._windows // batch_size

    def starts(self, generator: Generator) -> Tensor:
        """Starts of one epoch's windows, int64 [S, B]."""
        order = torch.randperm(self._windows, generator=generator)
        return (order[: self.steps * self._batch_size] * self._window).view(-1, self._batch_size)
