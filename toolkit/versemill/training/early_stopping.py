"""The best weights so far, and when validations no longer improve on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from versemill.checkpoints.state import TrainingState


class EarlyStopping:
    """Keeps the weights of the best validation and counts those since without improvement.

    Attributes:
        best_weights: a copy of them by name; empty before the first validation.
        best_nats: held-out nats per character of the best validation; None before the first.
        best_epoch: its epoch; 0 before the first.
        best_step: its step; 0 before the first.
        validations_without_improvement: since the best one.

    Args:
        patience: stop after so many validations without improvement; 0 never stops.
    """

    def __init__(self, patience: int) -> None:
        self.best_weights: dict[str, Tensor] = {}
        self.best_nats: float | None = None
        self.best_epoch = self.best_step = 0
        self.validations_without_improvement = 0
        self._patience = patience

    @property
    def stopped(self) -> bool:
        """Whether there were `patience` validations without improvement."""
        return 0 < self._patience <= self.validations_without_improvement

    def would_stop(self, nats: float | None) -> bool:
        """Whether this validation would stop the run; None stands for no validation."""
        without_improvement = 0
        if nats is not None and not self._improves(nats):
            without_improvement = self.validations_without_improvement + 1
        return 0 < self._patience <= without_improvement

    def validated(self, nats: float, model: nn.Module, *, epoch: int, step: int) -> bool:
        """Records a validation, and copies the model's weights if they are the best so far.

        Returns:
            Whether they are.
        """
        if not self._improves(nats):
            self.validations_without_improvement += 1
            return False
        self.best_weights = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.best_nats = nats
        self.best_epoch, self.best_step = epoch, step
        self.validations_without_improvement = 0
        return True

    def restore(self, state: TrainingState, *, epochs: int, device: torch.device) -> None:
        """Continues where a run stopped, with a copy of its best weights on `device`.

        Args:
            state: that of the run.
            epochs: of the run that continues; if they were changed, the count starts at 0.
            device: where the run computes.
        """
        if state.best_nats is not None:
            best = state.best_weights.items()
            self.best_weights = {name: tensor.to(device, copy=True) for name, tensor in best}
        self.best_nats = state.best_nats
        self.best_epoch, self.best_step = state.best_epoch, state.best_step
        if epochs == state.config.training.epochs:
            self.validations_without_improvement = state.validations_without_improvement

    def _improves(self, nats: float) -> bool:
        return self.best_nats is None or nats < self.best_nats
