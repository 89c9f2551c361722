"""How a text is prepared for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How a corpus is prepared, whatever its source.

    Attributes:
        newlines: keep line breaks, or turn each into a space as the classic preparation does.
        first: train on the first so many characters only; held-out text then follows them.
        holdout: share of the text kept out of training for each held-out part.
        song_separator: a line equal to this text stands between two songs; `""` is a blank line.
        field: what holds the text of each record of a JSON or CSV file; the usual names if None.
    """

    newlines: Literal["keep", "space"] = "keep"
    first: Annotated[int, Gt(0), Lt(2**31)] | None = None
    holdout: Annotated[float, Ge(0), Le(0.5)] = 0.1
    song_separator: str | None = None
    field: str | None = None
