"""Options classes of the built-in plugins; imports no torch, so jobs are validated without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - read when options are validated
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le


@dataclass(frozen=True, kw_only=True)
class JaychouOptions:
    """Where the textbook's corpus is.

    Attributes:
        path: the zip (or its text, or a folder of texts); by default
            `corpora/jaychou_lyrics.txt.zip` in the data directory.
    """

    path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class CharacterOptions:
    """Options of the character tokenizer.

    Attributes:
        unknown: use `<unk>` for characters outside the vocabulary.
    """

    unknown: bool = True


@dataclass(frozen=True, kw_only=True)
class RnnOptions:
    """Options of the plain recurrent cell.

    Attributes:
        nonlinearity: φ of the recurrence.
    """

    nonlinearity: Literal["tanh", "relu"] = "tanh"


@dataclass(frozen=True, kw_only=True)
class GruOptions:
    """Options of the GRU.

    Attributes:
        reset: apply the reset gate before or after the recurrent product.
    """

    reset: Literal["before", "after"] = "after"


@dataclass(frozen=True, kw_only=True)
class TemperatureOptions:
    """Options of the temperature stage.

    Attributes:
        value: logits are divided by it; 0 leaves the most likely id only.
    """

    value: Annotated[float, Ge(0), Le(100)] = 1.0


@dataclass(frozen=True, kw_only=True)
class TopKOptions:
    """Options of the top-k stage.

    Attributes:
        k: how many of the most likely ids can be drawn.
    """

    k: Annotated[int, Gt(0)] = 40


@dataclass(frozen=True, kw_only=True)
class TopPOptions:
    """Options of the top-p stage.

    Attributes:
        p: the fewest ids that together reach this probability can be drawn.
    """

    p: Annotated[float, Gt(0), Le(1)] = 0.9


@dataclass(frozen=True, kw_only=True)
class RepetitionPenaltyOptions:
    """Options of the repetition penalty.

    Attributes:
        penalty: factor on the log-probability of recent ids; 1 changes nothing.
        window: how many of the last ids are recent.
    """

    penalty: Annotated[float, Ge(1), Le(100)] = 1.2
    window: Annotated[int, Gt(0)] = 64
