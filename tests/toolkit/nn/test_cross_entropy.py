"""The fused output layer and loss. Shapes: N positions, H features, V vocabulary."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from versemill.nn.cross_entropy import linear_cross_entropy

N, H, V = 7, 4, 6


def inputs(scale: float = 1.0) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(1)
    shapes = [(N, H), (V, H), (V,)]
    tensors = [(scale * torch.randn(s, dtype=torch.float64)).requires_grad_() for s in shapes]
    return tensors, torch.randint(V, (N,))


def reference(tensors: list[Tensor], targets: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(*tensors), targets)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("factor", [1.0, 3.5])
def test_value_and_gradients_equal_torch(scale: float, factor: float) -> None:
    tensors, targets = inputs(scale)
    ours = factor * linear_cross_entropy(*tensors, targets)
    theirs = factor * reference(tensors, targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for mine, other in zip(
        torch.autograd.grad(ours, tensors), torch.autograd.grad(theirs, tensors), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    tensors, targets = inputs()
    assert torch.autograd.gradcheck(lambda *t: linear_cross_entropy(*t, targets), tensors)


def test_huge_logits_stay_finite() -> None:
    features = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    weight, bias = torch.tensor([[1.0], [-1.0]]), torch.zeros(2)
    loss = linear_cross_entropy(features, weight, bias, torch.tensor([0, 0]))
    assert float(loss.detach()) == pytest.approx(1e4)
    loss.backward()
    assert features.grad.isfinite().all()


def test_inputs_are_left_alone() -> None:
    tensors, targets = inputs()
    before = [t.detach().clone() for t in tensors]
    linear_cross_entropy(*tensors, targets).backward()
    for now, then in zip(tensors, before, strict=True):
        assert torch.equal(now, then)
