"""Always the most likely id. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Greedy:
    """Leaves the most likely id only (the lowest id of a tie), so that the draw is certain."""

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        """Masks all but the best id of each row."""
        best_B1 = logits_BV.argmax(dim=1, keepdim=True)
        return torch.full_like(logits_BV, -torch.inf).scatter(
            1, best_B1, logits_BV.gather(1, best_B1)
        )
