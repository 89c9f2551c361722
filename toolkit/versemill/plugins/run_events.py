"""The events of a training run. Imports no torch, because trackers use it.

Perplexities and speeds are per character with every tokenizer, so that runs can be compared.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, kw_only=True)
class Lyric:
    """One generated text and how it was made.

    Attributes:
        step: training step of the model that wrote it.
        prefix: the text that it continues.
        text: prefix and continuation.
        seed: of the draws.
        decoder: the chain, such as `temperature=0.8,top-p=0.9`.
    """

    step: int
    prefix: str
    text: str
    seed: int
    decoder: str


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How well a model predicts text it was not trained on.

    Attributes:
        part: `validation` or `test`.
        nats_per_character: mean cost, natural logarithm.
        bits_per_character: the same in bits.
        perplexity: exp(nats_per_character).
        characters: characters scored.
        unknown_share: share of them that no token but `<unk>` stands for.
    """

    part: str
    nats_per_character: float
    bits_per_character: float
    perplexity: float
    characters: int
    unknown_share: float

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is, at least every 0.5 s.

    Attributes:
        step: optimizer steps done.
        steps: steps planned for the whole run.
        epoch: epoch in progress, from 1.
        epochs: epochs planned.
        train_perplexity: of this epoch so far, on the *training* text, per character: exp of the
            mean cross-entropy per id times the ids per character of that text.
        characters_per_second: training speed, validation not counted; ids divided by the ids per
            character.
        seconds_left: estimate at this speed, validation not counted.
        phase: `training`, `validating` or `writing`.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    train_perplexity: float | None
    characters_per_second: float | None
    seconds_left: float | None
    phase: str


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """The end of an epoch.

    Attributes:
        step: optimizer steps done.
        epoch: the epoch that ended, from 1.
        epochs: epochs planned.
        train_perplexity: of the epoch, on the *training* text, per character as in `Progress`.
        valid_perplexity: held-out perplexity per character; None where not measured.
        characters_per_second: training speed, as in `Progress`.
        seconds_left: estimate for the rest.
        best: whether the weights are the best on validation so far.
        lyrics: one text per prefix when a report was due.
    """

    step: int
    epoch: int
    epochs: int
    train_perplexity: float
    valid_perplexity: float | None
    characters_per_second: float | None
    seconds_left: float | None
    best: bool
    lyrics: tuple[Lyric, ...]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The end of the run.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        best_epoch: the epoch whose weights `held_out` measures.
        stopped_early: whether it ended before the planned epochs.
        held_out: figures of the best weights by part, `validation` and `test` where they exist.
        reason: why it did, such as `no improvement in 6 validations`; None if it did not.
    """

    step: int
    epoch: int
    best_epoch: int
    stopped_early: bool
    held_out: dict[str, HeldOut]
    reason: str | None = None


Event: TypeAlias = Progress | EpochReport | Finished
