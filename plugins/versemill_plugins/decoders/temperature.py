"""Sharpening and flattening the distribution. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Temperature:
    """Divides the logits: below 1 sharpens the distribution, above 1 flattens it."""

    def __init__(self, *, value: float) -> None:
        self._value = value

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        """Scales, after moving each row's best logit to 0 (the softmax does not change)."""
        return (logits_BV - logits_BV.amax(dim=1, keepdim=True)) / self._value
