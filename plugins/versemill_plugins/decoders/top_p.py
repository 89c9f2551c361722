"""The fewest ids that reach a probability. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class TopP:
    """Keeps the smallest set of ids whose probability reaches `p`.

    Source: A. Holtzman et al., "The curious case of neural text degeneration", ICLR 2020.
    """

    def __init__(self, *, p: float) -> None:
        self._p = p

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        """Masks the tail; the most likely id always stays."""
        ordered, index = logits_BV.sort(dim=1, descending=True, stable=True)
        probability = ordered.softmax(dim=1)
        before = probability.cumsum(dim=1) - probability
        before[:, 0] = 0  # rounding must not lose the first
        return torch.full_like(logits_BV, -torch.inf).scatter(
            1, index, ordered.masked_fill(before >= self._p, -torch.inf)
        )
