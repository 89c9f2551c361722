"""Making recent ids less likely. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


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
