"""The built-in decoder stages. Chain them: `temperature=0.8`, then `top-p=0.9`.

Every stage works on logits and only ever lowers them; the core draws from the softmax of what is
left. Shapes: B batch, V vocabulary, L ids so far.
"""

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


class Temperature:
    """Divides the logits: below 1 sharpens the distribution, above 1 flattens it."""

    def __init__(self, *, value: float) -> None:
        self._value = value

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        """Scales, after moving each row's best logit to 0 (the softmax does not change)."""
        return (logits_BV - logits_BV.amax(dim=1, keepdim=True)) / self._value


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


class RepetitionPenalty:
    """Lowers the score of ids among the last `window` ones.

    Works on log-probabilities, which are never positive, so that a penalty above 1 always lowers
    (the original rule divides positive logits). Source: N. S. Keskar et al., "CTRL", 2019.
    """

    def __init__(self, *, penalty: float, window: int) -> None:
        self._penalty = penalty
        self._window = window

    def __call__(self, logits_BV: Tensor, history_BL: Tensor) -> Tensor:
        """Multiplies the log-probabilities of recent ids by the penalty."""
        scores_BV = logits_BV.log_softmax(dim=1)
        recent_BL = history_BL[:, -self._window :]
        if recent_BL.shape[1] == 0:
            return scores_BV
        return scores_BV.scatter(1, recent_BL, scores_BV.gather(1, recent_BL) * self._penalty)
