"""The conformance suite of samplers. Shapes: B batch, S steps of an epoch, T window."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from versemill.plugins.estimates import asked
from versemill.testing.suite import Suite, require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.plugins.contracts import Sampler
    from versemill.plugins.registry import Kind

CASES = [(2, 1, 1), (57, 1, 4), (101, 4, 5), (400, 3, 7), (1001, 8, 10)]
"""Text length, B and T: ends that fit the windows exactly, and ends that do not."""


class SamplerTests(Suite):
    """What every sampler must keep; subclass it and set `name`.

    A sampler gets only the length of the training text, so it sees neither held-out text nor where
    songs begin. To resume within an epoch, the core draws that epoch's windows again and skips
    those already used: `test_the_generator_decides`.
    """

    kind: ClassVar[Kind] = "sampler"

    def build(self, length: int, batch_size: int, window: int) -> Sampler:
        """The sampler for a text of that length, with the suite's options."""
        sampler: Sampler = self.registration().load()(length, batch_size, window, **self.keywords())
        return sampler

    def _epochs(self) -> Iterator[tuple[int, int, int, Sampler, Tensor]]:
        for length, B, T in CASES:
            sampler = self.build(length, B, T)
            yield length, B, T, sampler, sampler.starts(_generator(1))

    def test_starts_have_their_shape(self) -> None:
        """`starts` returns int64 of shape [steps, batch size]."""
        for _, B, _, sampler, starts_SB in self._epochs():
            require(
                starts_SB.dtype == torch.int64 and starts_SB.shape == (sampler.steps, B),
                f"starts are {starts_SB.dtype} of shape {tuple(starts_SB.shape)}, "
                f"not int64 of ({sampler.steps}, {B})",
                why="training takes one row of starts for each of `steps` steps",
                mend="let `steps` and `starts` agree; no incomplete last batch; .long()",
            )

    def test_windows_stay_in_the_training_text(self) -> None:
        """No window begins before the text, and no target lies behind its end."""
        for length, _, T, _, starts_SB in self._epochs():
            outside = ((starts_SB < 0) | (starts_SB + T > length - 1)).sum()
            require(
                not outside,
                f"{int(outside)} windows of {T} do not fit into a text of {length}",
                why="behind the end of the training text lies what is held out",
                mend="the last start allowed is length - 1 - window: a target follows its input",
            )

    def test_every_target_is_predicted_once(self) -> None:
        """An epoch predicts each target once, or `covers_text` is declared False."""
        for length, B, T, sampler, starts_SB in self._epochs():
            if not getattr(sampler, "covers_text", True):
                return
            targets = (starts_SB.unsqueeze(-1) + torch.arange(1, T + 1)).flatten()
            distinct = len(set(targets.tolist()))
            left_out = length - 1 - distinct
            require(
                distinct == len(targets) and left_out < B * (T + 1),
                f"of {length - 1} targets {left_out} are never predicted "
                f"and {len(targets) - distinct} more than once (batch {B}, window {T})",
                why="an epoch means once through the text; less than a batch may be left over",
                mend="use windows that do not overlap, or set covers_text = False on the class",
            )

    def test_the_generator_decides(self) -> None:
        """The same generator state gives the same windows."""
        for length, B, T in CASES:
            first = self.build(length, B, T).starts(_generator(3))
            sampler = self.build(length, B, T)
            sampler.starts(_generator(4))  # an epoch before must not matter
            require(
                torch.equal(first, sampler.starts(_generator(3))),
                "the same generator state gave other windows",
                why="a job that resumes draws its epoch's windows again, from the same state",
                mend="draw from the generator given alone, and keep nothing between epochs",
            )

    def test_nothing_else_is_drawn_from(self) -> None:
        """It leaves torch's global generator alone."""
        before = torch.get_rng_state()
        for _ in self._epochs():
            pass
        require(
            torch.equal(before, torch.get_rng_state()),
            "torch's global random state has changed",
            why="what else draws from it would depend on the sampler",
            mend="pass generator=generator to every torch function that draws",
        )

    def test_a_short_text_has_no_steps(self) -> None:
        """A text too short for a window gives 0 steps, and no error."""
        for length in range(4):
            sampler = self.build(length, 3, 5)
            require(
                sampler.steps == 0 and sampler.starts(_generator(1)).numel() == 0,
                f"a text of {length} with a window of 5 gives {sampler.steps} steps",
                why="the job then says that its text is too short; otherwise it crashes",
                mend="steps = max(0, …)",
            )

    def test_carried_rows_go_on(self) -> None:
        """With `carries_state`, row b begins where row b of the step before ended."""
        for _, _, T, sampler, starts_SB in self._epochs():
            require(
                isinstance(getattr(sampler, "carries_state", None), bool)
                and (not sampler.carries_state or torch.equal(starts_SB[1:], starts_SB[:-1] + T)),
                "carries_state is missing, or True while rows do not go on where they ended",
                why="the state of one window would be taken to a place that does not follow it",
                mend="carries_state: ClassVar[bool] = False, or lay windows end to end in a row",
            )

    def test_the_estimate_is_exact(self) -> None:
        """An estimate, where there is one, is the shortest text that has a step."""
        for _, B, T in CASES:
            shortest = asked(self.selected(), int, B, T)
            if shortest is None:
                return
            steps, before = (self.build(n, B, T).steps for n in (shortest, max(0, shortest - 1)))
            require(
                steps >= 1 and before == 0,
                f"the estimate says {shortest} ids for a batch of {B} and a window of {T}; "
                f"they give {steps} steps, one id less gives {before}",
                why="jobs would be refused whose text is long enough, or let in to fail",
                mend="say the least length for which steps is 1, the last target included",
            )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
