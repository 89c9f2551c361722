"""The step loop: from a prefix to ids, drawn one after the other.

Shapes: B texts side by side, T time, V vocabulary, L ids so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from versemill.evaluation.perplexity import primer_id
from versemill.generation.stopping import TextEnd
from versemill.nn.seeds import derived

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from versemill.config.job import GenerationOptions
    from versemill.nn.network import LanguageModel
    from versemill.plugins.contracts import Decoder, Tokenizer


@torch.no_grad()  # around the generator, so that the caller computes as before between pieces
def sample(
    model: LanguageModel,
    tokenizer: Tokenizer,
    chain: Sequence[Decoder],
    prefix: str,
    count: int,
    options: GenerationOptions,
) -> Iterator[list[str]]:
    """The characters added to each of `count` texts, id by id; none after a text has ended.

    Args:
        model: the network; read, never changed.
        tokenizer: the one it was trained with.
        chain: the decoder stages, built.
        prefix: the text to continue, read from zero state.
        count: B; each text has its own generator.
        options: length, lines, stop and seed; the same seed on the same machine gives the same
            texts.
    """
    ends = [TextEnd(prefix, lines=options.lines, stop=options.stop) for _ in range(count)]
    if ends[0].ended:  # and so have all: they have the same prefix
        return
    draw = Draw(options.seed, count)
    start_1L = _start(model, tokenizer, prefix)
    known = start_1L.shape[1]
    written_BL = start_1L.new_empty(count, known + options.length)
    written_BL[:, :known] = start_1L
    history_BL = written_BL[:, :known]
    y_TBH, states = model(history_BL.t(), model.initial_state(count))
    logits_BV = model.logits(y_TBH[-1])
    step = model.stepper()
    for position in range(options.length):
        if position:
            logits_BV, states = step(history_BL[:, -1], states)
        if tokenizer.unknown_id is not None:
            logits_BV[:, tokenizer.unknown_id] = -torch.inf
        for stage in chain:
            logits_BV = stage(logits_BV, history_BL)
        ids_B = draw(logits_BV)
        written_BL[:, known + position] = ids_B
        history_BL = written_BL[:, : known + position + 1]
        pieces = [tokenizer.decode([i]) for i in ids_B.tolist()]
        gained = [end.take(piece) for end, piece in zip(ends, pieces, strict=True)]
        if position + 1 == options.length:
            gained = [sure + end.rest() for end, sure in zip(ends, gained, strict=True)]
        yield gained
        if all(end.ended for end in ends):
            return


def _start(model: LanguageModel, tokenizer: Tokenizer, prefix: str) -> Tensor:
    """Ids read before the first draw, [1, L]: a newline if the model knows it, the prefix."""
    ids = tokenizer.encode(prefix)
    primer = primer_id(tokenizer)
    if not ids or tokenizer.decode([primer]) == "\n":
        ids = [primer, *ids]
    return torch.tensor([ids], device=model.output_bias.device)


class Draw:
    """Draws ids from logits; each row has its own generator, so rows are independent."""

    def __init__(self, seed: int, count: int) -> None:
        self._generators = [
            torch.Generator().manual_seed(derived(seed, "draw", row)) for row in range(count)
        ]

    def __call__(self, logits_BV: Tensor) -> Tensor:
        """One id for each row, int64 of shape [B], on the device of the logits."""
        cumulative_BV = logits_BV.double().cpu().softmax(dim=1).cumsum(dim=1)
        uniform_B1 = torch.stack(
            [torch.rand(1, generator=g, dtype=torch.float64) for g in self._generators]
        )
        # side="right" never lands on an id of probability zero.
        drawn = torch.searchsorted(cumulative_BV, uniform_B1 * cumulative_BV[:, -1:], side="right")
        return drawn.squeeze(1).clamp_(max=logits_BV.shape[1] - 1).to(logits_BV.device)
