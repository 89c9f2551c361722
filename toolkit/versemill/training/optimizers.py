"""Optimizers and gradient clipping.

PyTorch's optimizers are used through their functional form: the classes import the whole of
`torch._dynamo` when the first one is made, which doubles the time until a trainer's first step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.adamw import adamw

from versemill.errors import CheckpointError
from versemill.training.schedules import learning_rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from versemill.config.job import TrainingOptions

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


class Optimization:
    """Updates the weights, step by step. Depends on the step number and never on the clock.

    Args:
        model: whose parameters are trained.
        options: optimizer, learning rate, schedule, clipping.
        total_steps: steps of the whole run, over which the cosine is stretched.
    """

    def __init__(self, model: nn.Module, options: TrainingOptions, total_steps: int) -> None:
        self._parameters = list(model.parameters())
        self._options = options
        self._total_steps = total_steps
        self._memory: dict[str, list[Tensor]] = {}
        if options.optimizer == "adamw":
            self._memory = {
                "exp_avg": [torch.zeros_like(p, requires_grad=False) for p in self._parameters],
                "exp_avg_sq": [torch.zeros_like(p, requires_grad=False) for p in self._parameters],
                # On the parameter's device, as the fused kernel wants it.
                "step": [torch.zeros((), device=p.device) for p in self._parameters],
            }

    def step(self, loss: Tensor, number: int) -> None:
        """Back-propagates, clips and updates the weights; `number` counts steps from 0."""
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        if self._options.clip_norm:
            clip_gradients(self._parameters, self._options.clip_norm)
        with torch.no_grad():
            self._update(learning_rate(self._options, number, self._total_steps))

    def tensors(self) -> dict[str, Tensor]:
        """The optimizer's tensors by name, for a checkpoint."""
        return {
            f"{index}.{key}": tensor
            for key, tensors in self._memory.items()
            for index, tensor in enumerate(tensors)
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`; raises `CheckpointError` for what does not fit."""
        own = self.tensors()
        odd = sorted(own.keys() ^ tensors.keys())
        if odd:
            raise CheckpointError(f"the checkpoint's optimizer does not fit at entry {odd[0]!r}")
        for name, tensor in tensors.items():
            if tensor.shape != own[name].shape:
                raise CheckpointError(f"optimizer entry {name!r} has shape {tuple(tensor.shape)}")
            own[name].copy_(tensor)

    def _update(self, learning_rate: float) -> None:
        # A parameter that took no part in the loss has no gradient and stays as it is.
        used = [i for i, parameter in enumerate(self._parameters) if parameter.grad is not None]
        parameters: list[Tensor] = [self._parameters[i] for i in used]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not self._memory:
            torch._foreach_add_(parameters, gradients, alpha=-learning_rate)
            return
        adamw(
            parameters,
            gradients,
            exp_avgs=[self._memory["exp_avg"][i] for i in used],
            exp_avg_sqs=[self._memory["exp_avg_sq"][i] for i in used],
            max_exp_avg_sqs=[],
            state_steps=[self._memory["step"][i] for i in used],
            fused=True,
            amsgrad=False,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            lr=learning_rate,
            weight_decay=self._options.weight_decay,
            eps=_EPSILON,
            maximize=False,
        )


def clip_gradients(parameters: list[nn.Parameter], limit: float) -> None:
    """Scales all gradients by limit/norm, only when their global norm exceeds `limit`.

    No epsilon is added. Source: R. Pascanu et al., "On the difficulty of training recurrent
    neural networks", ICML 2013.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    # As a tensor, so that the CPU does not wait for a GPU; a norm of zero divides to infinity.
    torch._foreach_mul_(gradients, (limit / norm).clamp_(max=1.0))
