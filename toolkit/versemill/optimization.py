"""Optimizer, learning-rate schedule and gradient clipping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from versemill.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from versemill.config import TrainingOptions

_FINAL_SHARE = 0.1  # the cosine ends at a tenth of the peak


class Optimization:
    """One step of learning after another, by step number and never by clock.

    Args:
        model: whose parameters are trained.
        options: optimizer, learning rate, schedule, clipping.
        total_steps: steps of the whole run, over which the cosine is stretched.
    """

    def __init__(self, model: nn.Module, options: TrainingOptions, total_steps: int) -> None:
        self._parameters = list(model.parameters())
        self._options = options
        self._total_steps = total_steps
        self._optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(self._parameters, lr=options.learning_rate, foreach=True)
            if options.optimizer == "sgd"
            else torch.optim.AdamW(
                self._parameters,
                lr=options.learning_rate,
                weight_decay=options.weight_decay,
                fused=True,
            )
        )

    def step(self, loss: Tensor, number: int) -> None:
        """Back-propagates, clips and updates the weights; `number` counts steps from 0."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._options.clip_norm:
            clip_gradients(self._parameters, self._options.clip_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate(number)
        self._optimizer.step()

    def learning_rate(self, number: int) -> float:
        """Learning rate of step `number`, counted from 0."""
        options = self._options
        if number < options.warmup_steps:
            return options.learning_rate * (number + 1) / options.warmup_steps
        if options.schedule == "constant":
            return options.learning_rate
        span = max(1, self._total_steps - options.warmup_steps)
        progress = min(1.0, (number - options.warmup_steps) / span)
        share = _FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2
        return options.learning_rate * share

    def tensors(self) -> dict[str, Tensor]:
        """The optimizer's memory by name, for a checkpoint."""
        return {
            f"{index}.{key}": value
            for index, parameter in enumerate(self._parameters)
            for key, value in self._optimizer.state.get(parameter, {}).items()
            if isinstance(value, torch.Tensor)
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Inverse of `tensors`; raises `CheckpointError` for shapes that do not fit."""
        self._optimizer.state.clear()
        for name, value in tensors.items():
            index, _, key = name.partition(".")
            if not index.isdigit() or int(index) >= len(self._parameters):
                raise CheckpointError(f"the checkpoint's optimizer has an unknown entry {name!r}")
            parameter = self._parameters[int(index)]
            if value.dim() > 0 and value.shape != parameter.shape:
                raise CheckpointError(f"optimizer entry {name!r} has shape {tuple(value.shape)}")
            # A copy: the checkpoint stays what it was while training goes on. AdamW keeps its
            # step count on the device too when fused.
            self._optimizer.state[parameter][key] = value.to(parameter.device, copy=True)


def clip_gradients(parameters: list[nn.Parameter], limit: float) -> None:
    """Scales all gradients by limit/norm, only when their global norm exceeds `limit`.

    No epsilon is added. Source: R. Pascanu et al., "On the difficulty of training recurrent
    neural networks", ICML 2013.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    # As a tensor, so that a GPU need not be waited for; a norm of zero divides to infinity.
    torch._foreach_mul_(gradients, (limit / norm).clamp_(max=1.0))
