"""The conformance suite of decoders. Shapes: B batch, V vocabulary, L ids so far."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from versemill.errors import ConfigError
from versemill.testing.suite import Suite, require

if TYPE_CHECKING:
    from versemill.plugins.registry import Kind

EXTREMES = (-(10**9), -1, 0, 1, 10**9, 0.5, -0.5, 1e-9)


class DecoderTests(Suite):
    """What every decoder stage must keep; subclass it and set `name`."""

    kind: ClassVar[Kind] = "decoder"

    def decode(self, logits_BV: Tensor, **options: Any) -> Tensor:
        """The stage applied to the logits, after a short history."""
        keywords = self.registration().validate({**self.options, **options})
        changed: Tensor = self.registration().load()(**keywords)(logits_BV, _history(logits_BV))
        return changed

    def test_something_is_left(self) -> None:
        """Each row keeps its shape, is a number or minus infinity, and leaves a choice."""
        changed = self.decode(_logits())
        require(
            _sound(changed),
            "a row is left without a choice, or has NaN, or another shape",
            why="the next id is drawn from the softmax of what is left",
            mend="always keep the best id of each row",
        )

    def test_masked_ids_stay_masked(self) -> None:
        """What an earlier stage has ruled out (minus infinity) stays out."""
        logits = _logits()
        changed = self.decode(logits)
        require(
            bool((changed[logits == -math.inf] == -math.inf).all()),
            "an id at minus infinity can be chosen again",
            why="stages are chained, and each may rely on those before it",
            mend="keep minus infinity where it is, with masked_fill",
        )

    def test_it_is_deterministic(self) -> None:
        """The same logits give the same result, and nothing random is drawn."""
        before = torch.get_rng_state()
        first, second = self.decode(_logits()), self.decode(_logits())
        require(
            torch.equal(first.nan_to_num(), second.nan_to_num())
            and torch.equal(before, torch.get_rng_state()),
            "the result differs from call to call, or torch's random state has changed",
            why="the core draws, from the seed that the user gave: same seed, same lyrics",
            mend="change logits only; leave drawing to the core",
        )

    def test_inputs_are_left_alone(self) -> None:
        """It does not write into the logits it was given."""
        logits = _logits()
        self.decode(logits)
        require(
            torch.equal(logits, _logits()),
            "the logits given have been changed in place",
            why="they are the model's, and may be used again",
            mend="no in-place operation (ending in _) on logits_BV",
        )

    def test_rows_are_independent(self) -> None:
        """A row's result does not depend on the other rows."""
        alone = torch.cat([self.decode(row.unsqueeze(0)) for row in _logits()])
        changed = self.decode(_logits())
        require(
            torch.allclose(changed.nan_to_num(), alone.nan_to_num(), atol=1e-9),
            "a row alone gives another result than in a batch",
            why="how many texts are written at once must not change them",
            mend="reduce over dim=1, never over the batch",
        )

    def test_a_choice_leaves_one(self) -> None:
        """A decoder registered with `stage="choice"` leaves one id in each row."""
        if self.registration().stage != "choice":
            return
        left = (self.decode(_logits()) > -math.inf).sum(dim=1)
        require(
            bool((left == 1).all()),
            "a row is left with more than one id",
            why="a choice is taken out of the chain where another stage is to take effect",
            mend='leave one id, or register it without stage="choice"',
        )

    def test_every_value_allowed_works(self) -> None:
        """A numeric option is refused with ConfigError, or works."""
        for field in dataclasses.fields(self.registration().options):
            for value in EXTREMES:
                try:
                    sound = _sound(self.decode(_logits(), **{field.name: value}))
                except ConfigError:
                    continue
                require(
                    sound,
                    f"{field.name} = {value} is allowed, and leaves NaN or no choice",
                    why="the error should come when the job is submitted, not as a crash later",
                    mend="bound the field: Annotated[float, Gt(0)] (annotated_types)",
                )


def _logits() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    logits_BV = torch.randn(3, 9, generator=generator, dtype=torch.float64)
    logits_BV[:, ::4] = -math.inf
    return logits_BV


def _history(logits_BV: Tensor) -> Tensor:
    return torch.tensor([1, 2, 2]).expand(len(logits_BV), -1)


def _sound(changed_BV: Tensor) -> bool:
    left = (changed_BV > -math.inf).any(dim=1).all()
    figures = (changed_BV < math.inf).all()  # neither NaN nor plus infinity
    return changed_BV.shape[1:] == (9,) and bool(figures) and bool(left)
