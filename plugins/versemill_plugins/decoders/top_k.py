"""Drawing from the k most likely ids. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class TopK:
    """Keeps the `k` most likely ids.

    Source: A. Fan et al., "Hierarchical neural story generation", ACL 2018.
    """

    def __init__(self, *, k: int) -> None:
        self._k = k

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        """Masks all but the k best of each row; exactly k stay even where values tie."""
        kept = logits_BV.topk(min(self._k, logits_BV.shape[1]), dim=1)
        return torch.full_like(logits_BV, -torch.inf).scatter(1, kept.indices, kept.values)
