"""Output layer and cross-entropy in one, because the logits are the largest thing there is.

Shapes: N positions (T·B), V vocabulary, H features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

if TYPE_CHECKING:
    from collections.abc import Callable


def linear_cross_entropy(
    features_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, targets_N: Tensor
) -> Tensor:
    """Mean cross-entropy, in nats, of `softmax(features weightᵀ + bias)` against the targets.

    Equal to `torch.nn.functional.cross_entropy(torch.nn.functional.linear(…), …)`, but the one
    buffer of logits becomes probabilities and then their gradient in place.
    """
    apply: Callable[..., Tensor] = _LinearCrossEntropy.apply
    return apply(features_NH, weight_VH, bias_V, targets_N)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
    ) -> Tensor:
        N = features.shape[0]
        logits = torch.addmm(bias, features, weight.t())
        logits.sub_(logits.amax(dim=1, keepdim=True))
        chosen = logits.gather(1, targets.unsqueeze(1))
        total = logits.exp_().sum(dim=1, keepdim=True)
        loss = (total.log() - chosen).mean()
        dlogits = logits.div_(total * N)
        dlogits.scatter_add_(1, targets.unsqueeze(1), dlogits.new_full((N, 1), -1 / N))
        ctx.save_for_backward(features, weight, dlogits)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dloss: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        features, weight, dlogits = ctx.saved_tensors  # type: ignore[attr-defined]
        dlogits = dlogits if dloss == 1 else dlogits * dloss
        return dlogits @ weight, dlogits.t() @ features, dlogits.sum(0), None
