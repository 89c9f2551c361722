"""Adjacent windows, state carried. Shapes: B batch, S steps of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


class ConsecutiveSampler:
    """Adjacent windows: row b of each step begins where row b of the step before ended.

    The text is cut into B equal streams (what is left over at the end is dropped), and every
    stream is read in windows of T; the state is carried between steps and zeroed each epoch.
    Draws nothing.
    """

    carries_state: ClassVar[bool] = True
    covers_text: ClassVar[bool] = True

    def __init__(self, length: int, batch_size: int, window: int) -> None:
        self._window = window
        self._streams = torch.arange(batch_size) * (length // batch_size)
        self.steps = max(0, length // batch_size - 1) // window

    def starts(self, generator: Generator) -> Tensor:
        """Starts of one epoch's windows, int64 [S, B]."""
        return self._streams + self._window * torch.arange(self.steps).unsqueeze(1)
