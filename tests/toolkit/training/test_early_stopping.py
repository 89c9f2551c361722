"""Which weights are the best, and when patience is at its end."""

from __future__ import annotations

import torch

from versemill.training.early_stopping import EarlyStopping


def weights(value: float) -> torch.nn.Linear:
    model = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(model.weight, value)
    return model


def test_the_best_weights_are_a_copy() -> None:
    stopping, model = EarlyStopping(patience=2), weights(1)
    assert stopping.validated(3.0, model, epoch=1, step=10)
    torch.nn.init.constant_(model.weight, 2)
    assert not stopping.validated(3.0, model, epoch=2, step=20)
    assert stopping.best_weights["weight"].item() == 1
    assert (stopping.best_nats, stopping.best_epoch, stopping.best_step) == (3.0, 1, 10)
    assert stopping.validations_without_improvement == 1


def test_an_improvement_starts_patience_anew() -> None:
    stopping = EarlyStopping(patience=2)
    for epoch, nats in enumerate([3.0, 4.0, 2.0, 4.0], start=1):
        stopping.validated(nats, weights(epoch), epoch=epoch, step=epoch)
        assert not stopping.stopped
    assert stopping.would_stop(2.0)
    assert not stopping.would_stop(1.9)
    assert not stopping.would_stop(None)
    stopping.validated(2.0, weights(5), epoch=5, step=5)
    assert stopping.stopped
    assert stopping.best_epoch == 3


def test_without_patience_it_never_stops() -> None:
    stopping = EarlyStopping(patience=0)
    for epoch in range(1, 9):
        assert not stopping.would_stop(float(epoch))
        stopping.validated(float(epoch), weights(epoch), epoch=epoch, step=epoch)
        assert not stopping.stopped
