from __future__ import annotations

import inspect

import pytest

from versemill import errors
from versemill.errors import ConfigError, DivergedError, UnknownNameError, VersemillError

OURS = [
    e for _, e in inspect.getmembers(errors, inspect.isclass) if e.__module__ == errors.__name__
]


def test_the_nearest_name_is_suggested() -> None:
    error = UnknownNameError("cell", "lstmm", ["rnn", "lstm", "gru"])
    assert str(error) == "no cell named 'lstmm'; known: gru, lstm, rnn; did you mean 'lstm'?"
    assert (error.kind, error.name) == ("cell", "lstmm")


def test_a_name_unlike_any_gets_no_suggestion() -> None:
    assert str(UnknownNameError("cell", "zzzz", ["rnn"])) == "no cell named 'zzzz'; known: rnn"


def test_a_hint_comes_last() -> None:
    error = UnknownNameError("job", "x", [], hint="submit one")
    assert str(error) == "no job named 'x'; known: none; submit one"


def test_a_config_error_names_field_value_and_what_is_allowed() -> None:
    error = ConfigError("training.epochs", 0, "greater than 0")
    assert str(error) == "training.epochs = 0 is not allowed: greater than 0"
    assert (error.field, error.value) == ("training.epochs", 0)


def test_divergence_tells_epoch_and_step() -> None:
    error = DivergedError(3, 17, float("nan"))
    assert (error.epoch, error.step) == (3, 17)
    assert "nan in epoch 3 at step 17" in str(error)


@pytest.mark.parametrize("error", OURS)
def test_every_error_is_ours_and_a_builtin(error: type[Exception]) -> None:
    assert issubclass(error, VersemillError)
    if error is not VersemillError:
        builtins = [c for c in error.__mro__ if c.__module__ == "builtins"]
        assert builtins[0] not in (Exception, BaseException)
