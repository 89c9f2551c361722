"""Sharpening and flattening the distribution. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill_plugins.decoders.greedy import Greedy

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-30  # dividing by less, as float32, could be dividing by zero


class Temperature:
    """Divides the logits: below 1 sharpens the distribution, above 1 flattens it.

    The limit at 0 is greedy: the most likely id only, the lowest of a tie.
    """

    def __init__(self, *, value: float) -> None:
        self._value = max(value, _SMALLEST)
        self._greedy = Greedy() if value == 0 else None

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        """Scales, after moving each row's best logit to 0 (the softmax does not change)."""
        if self._greedy is not None:
            return self._greedy(logits_BV, history_BL)
        return (logits_BV - logits_BV.amax(dim=1, keepdim=True)) / self._value
