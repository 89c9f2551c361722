"""Min-p sampling. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class MinP:
    """Keeps the ids whose probability is at least `share` of the most likely one's.

    Source: M. Nguyen et al., "Turning up the heat: min-p sampling for creative and coherent LLM
    outputs", 2024.
    """

    def __init__(self, *, share: float) -> None:
        self._distance = -math.log(share)

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        """Masks what is too far below the best of its row."""
        best_B1 = logits_BV.amax(dim=1, keepdim=True)
        return logits_BV.masked_fill(logits_BV < best_B1 - self._distance, -torch.inf)
