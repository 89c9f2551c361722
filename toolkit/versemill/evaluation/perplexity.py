"""Held-out figures: the measure by which runs may be compared.

Every held-out character is scored once, the first included, in evaluation mode and from zero
state with a newline before it; costs are summed in float64 and divided by characters, whatever
the tokenizer. A character outside the vocabulary costs as much as `<unk>`, plus
log(1,114,112 - K) for its code point, where K is the number of characters with an id. If one
`<unk>` stands for several characters, its cost counts once, and that of the code points for each.

Shapes: B streams side by side, T time, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from versemill.errors import CorpusError
from versemill.plugins.run_events import HeldOut

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from torch import Tensor

    from versemill.nn.network import LanguageModel
    from versemill.plugins.contracts import Tokenizer

CODE_POINTS = 1_114_112
WARM_UP = 256
_CHUNK = 128  # ids of each stream per forward pass: bounds memory and the time between yields
_STREAMS = 32
_LEAST_STREAM = 4 * WARM_UP


@dataclass(frozen=True)
class _Stream:
    """Ids to score in one go from zero state; the first `warm_up` of them only set the state."""

    ids: list[int]
    warm_up: int


def unseen_share(ids: Sequence[int]) -> float:
    """Good-Turing estimate of the probability that the next id was never seen.

    The share of ids that occur once (one in N+1 if there are none). It is used for models without
    `<unk>`, so that these too give every character some probability.
    Source: I. J. Good, "The population frequencies of species", Biometrika 40 (1953).
    """
    once = sum(1 for count in Counter(ids).values() if count == 1)
    return once / len(ids) if 0 < once < len(ids) else 1 / (len(ids) + 1)


def primer_id(tokenizer: Tokenizer) -> int:
    """The id before the first character: newline, else space, else `<unk>`, else id 0."""
    for character in "\n ":
        ids = tokenizer.encode(character)
        if len(ids) == 1 and ids[0] != tokenizer.unknown_id:
            return ids[0]
    return tokenizer.unknown_id or 0


def evaluation(
    model: LanguageModel,
    tokenizer: Tokenizer,
    segments: Sequence[str],
    *,
    part: str,
    unseen: float,
    parallel: bool = False,
) -> Generator[None, None, HeldOut]:
    """Scores `segments`, yielding between chunks; returns the figures (`yield from` gives them).

    Args:
        model: scored as it is; its training is not disturbed.
        tokenizer: the one the model was trained with.
        segments: texts scored each from zero state (songs), or one continuous text.
        part: name of the held-out part, for the result.
        unseen: `unseen_share` of the training ids; used when there is no `<unk>`.
        parallel: read one long text as several streams, each after 256 unscored ids of
            warm-up: much faster, and nearly the same figure. Songs are exact either way.
    """
    encoded = [tokenizer.encode(segment) for segment in segments]
    characters = sum(map(len, segments))
    if characters == 0:
        raise CorpusError(f"there is no {part} text: hold some out with corpus_options.holdout")
    unknown = sum(map(_unknown_characters, itertools.repeat(tokenizer), segments, encoded))
    nats = 0.0
    if tokenizer.unknown_id is None:
        # Unseen characters get a share of the probability, so every seen id costs a little more.
        nats = -sum(map(len, encoded)) * math.log1p(-unseen) - unknown * math.log(unseen)
    nats += unknown * math.log(CODE_POINTS - _characters_with_an_id(tokenizer))
    primer = primer_id(tokenizer)
    parallel = parallel and len(segments) == 1
    for batch in _batches([s for ids in encoded for s in _streams(ids, parallel=parallel)]):
        for part_nats in _score(model, batch, primer):
            nats += part_nats
            yield
    mean = nats / characters
    return HeldOut(
        part=part,
        nats_per_character=mean,
        bits_per_character=mean / math.log(2),
        perplexity=math.exp(min(mean, 700.0)),
        characters=characters,
        unknown_share=unknown / characters,
    )


def _unknown_characters(tokenizer: Tokenizer, text: str, ids: list[int]) -> int:
    """How many characters of `text` no token but `<unk>` stands for; `ids` are what it became."""
    unknown_id = tokenizer.unknown_id
    times = 0 if unknown_id is None else ids.count(unknown_id)
    if unknown_id is not None and not times:
        return 0
    known = tokenizer.decode([i for i in ids if i != unknown_id])
    return max(times, len(text) - len(known))


def _characters_with_an_id(tokenizer: Tokenizer) -> int:
    return sum(
        len(token) == 1 and i != tokenizer.unknown_id for i, token in enumerate(tokenizer.tokens)
    )


def evaluate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    segments: Sequence[str],
    *,
    part: str,
    unseen: float,
    parallel: bool = False,
) -> HeldOut:
    """`evaluation` in one go."""
    steps = evaluation(model, tokenizer, segments, part=part, unseen=unseen, parallel=parallel)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: HeldOut = end.value
            return result


def _streams(ids: list[int], *, parallel: bool) -> list[_Stream]:
    count = min(_STREAMS, len(ids) // _LEAST_STREAM) if parallel else 1
    if count <= 1:
        return [_Stream(ids, 0)] if ids else []
    edges = [len(ids) * i // count for i in range(count + 1)]
    return [
        _Stream(ids[max(0, start - WARM_UP) : end], min(start, WARM_UP))
        for start, end in itertools.pairwise(edges)
    ]


def _batches(streams: list[_Stream]) -> Iterator[list[_Stream]]:
    """Streams of like length together, so that little is padded."""
    ordered = sorted(streams, key=lambda s: len(s.ids), reverse=True)
    for i in range(0, len(ordered), _STREAMS):
        yield ordered[i : i + _STREAMS]


@torch.no_grad()  # around the generator, so that the caller computes as before between chunks
def _score(model: LanguageModel, streams: list[_Stream], primer: int) -> Iterator[float]:
    """Nats of the scored ids, chunk by chunk."""
    device = model.output_bias.device
    B, longest = len(streams), max(len(s.ids) for s in streams)
    ids_TB = torch.zeros(longest + 1, B, dtype=torch.int64)
    ids_TB[0] = primer
    scored_TB = torch.zeros(longest, B, dtype=torch.bool)
    for b, stream in enumerate(streams):
        ids_TB[1 : len(stream.ids) + 1, b] = torch.tensor(stream.ids)
        scored_TB[stream.warm_up : len(stream.ids), b] = True
    ids_TB, scored_TB = ids_TB.to(device), scored_TB.to(device)
    states = model.initial_state(B)
    for start in range(0, longest, _CHUNK):
        end = min(start + _CHUNK, longest)
        y_TBH, states = model(ids_TB[start:end], states)
        scored = scored_TB[start:end]
        yield _nats(model.logits(y_TBH[scored]), ids_TB[start + 1 : end + 1][scored])


def _nats(logits_NV: Tensor, targets_N: Tensor) -> float:
    costs = torch.nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")
    return float(costs.double().sum())
