from __future__ import annotations

import pytest
import torch
from torch import nn

from versemill.config.job import TrainingOptions
from versemill.errors import CheckpointError
from versemill.training.optimizers import Optimization, clip_gradients


def parameters(*gradients: list[float]) -> list[nn.Parameter]:
    made = []
    for gradient in gradients:
        parameter = nn.Parameter(torch.zeros(len(gradient), dtype=torch.float64))
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        made.append(parameter)
    return made


def layer() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(3, 2)


def loss_of(model: nn.Linear, number: int) -> torch.Tensor:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(number))
    return model(x).square().mean()


def train(model: nn.Linear, optimization: Optimization, numbers: range) -> None:
    for number in numbers:
        optimization.step(loss_of(model, number), number)


def test_gradients_above_the_limit_are_scaled_by_limit_over_norm() -> None:
    clipped = parameters([3.0, 0.0], [0.0, 4.0])  # a norm of 5 over both
    clip_gradients(clipped, 2.0)
    assert torch.cat([p.grad for p in clipped]).tolist() == [3.0 * (2 / 5), 0, 0, 4.0 * (2 / 5)]


@pytest.mark.parametrize("limit", [5.0, 5.0001, 100.0])
def test_gradients_up_to_the_limit_stay_as_they_are(limit: float) -> None:
    clipped = parameters([3.0, 0.0], [0.0, 4.0])
    clip_gradients(clipped, limit)
    assert torch.cat([p.grad for p in clipped]).tolist() == [3.0, 0.0, 0.0, 4.0]


def test_zero_gradients_stay_zero() -> None:
    clipped = parameters([0.0, 0.0])
    clip_gradients(clipped, 1.0)
    assert clipped[0].grad.tolist() == [0.0, 0.0]


def test_a_parameter_without_gradient_is_passed_over() -> None:
    clipped = [*parameters([3.0, 4.0]), nn.Parameter(torch.zeros(2))]
    clip_gradients(clipped, 1.0)
    assert clipped[0].grad.tolist() == [3 * (1 / 5), 4 * (1 / 5)]
    assert clipped[1].grad is None


def test_sgd_takes_the_plain_step() -> None:
    model = layer()
    before = [p.detach().clone() for p in model.parameters()]
    gradients = torch.autograd.grad(loss_of(model, 0), list(model.parameters()))
    options = TrainingOptions(optimizer="sgd", learning_rate=0.25, clip_norm=0)
    Optimization(model, options, 10).step(loss_of(model, 0), 0)
    for now, then, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(now.detach(), then - 0.25 * gradient)


def test_the_clip_applies_to_the_step() -> None:
    model = layer()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    options = TrainingOptions(optimizer="sgd", learning_rate=1.0, clip_norm=1e-3)
    Optimization(model, options, 10).step(loss_of(model, 0), 0)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert float((after - before).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_adamw_equals_torchs() -> None:
    ours, theirs = layer(), layer()
    options = TrainingOptions(learning_rate=0.01, weight_decay=0.1, clip_norm=0)
    train(ours, Optimization(ours, options, 5), range(5))
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.1)
    for number in range(5):
        optimizer.zero_grad()
        loss_of(theirs, number).backward()
        optimizer.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_the_schedule_sets_the_rate_of_each_step() -> None:
    ours, theirs = layer(), layer()
    options = TrainingOptions(optimizer="sgd", learning_rate=0.8, warmup_steps=4, clip_norm=0)
    train(ours, Optimization(ours, options, 4), range(2))
    for number, rate in enumerate([0.2, 0.4]):
        train(
            theirs,
            Optimization(
                theirs,
                TrainingOptions(optimizer="sgd", learning_rate=rate, clip_norm=0),
                4,
            ),
            range(number, number + 1),
        )
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loaded_optimizer_goes_on_bit_for_bit(optimizer: str) -> None:
    options = TrainingOptions(optimizer=optimizer, learning_rate=0.05)
    whole, part, rest = layer(), layer(), layer()
    train(whole, Optimization(whole, options, 6), range(6))
    first = Optimization(part, options, 6)
    train(part, first, range(3))
    rest.load_state_dict(part.state_dict())
    second = Optimization(rest, options, 6)
    second.load(first.tensors())
    train(rest, second, range(3, 6))
    for now, expected in zip(rest.parameters(), whole.parameters(), strict=True):
        assert torch.equal(now, expected)


def test_a_loaded_optimizer_keeps_the_checkpoint_as_it_was() -> None:
    model = layer()
    optimization = Optimization(model, TrainingOptions(), 6)
    train(model, optimization, range(2))
    stored = {name: tensor.clone() for name, tensor in optimization.tensors().items()}
    given = {name: tensor.clone() for name, tensor in stored.items()}
    optimization.load(given)
    train(model, optimization, range(2, 4))
    assert all(torch.equal(given[name], tensor) for name, tensor in stored.items())


def test_plain_sgd_remembers_nothing() -> None:
    model = layer()
    optimization = Optimization(model, TrainingOptions(optimizer="sgd"), 6)
    train(model, optimization, range(2))
    assert optimization.tensors() == {}


@pytest.mark.parametrize(
    "entries",
    [
        {"9.exp_avg": torch.zeros(2, 3)},
        {"x.exp_avg": torch.zeros(2, 3)},
        {"0.exp_avg": torch.zeros(3, 3)},
    ],
)
def test_memory_that_does_not_fit_is_refused(entries: dict[str, torch.Tensor]) -> None:
    with pytest.raises(CheckpointError):
        Optimization(layer(), TrainingOptions(), 6).load(entries)
