"""How a text is prepared for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How a corpus is prepared, for every kind of corpus.

    Attributes:
        newlines: keep line breaks, or replace each by a space as the classic preparation does.
        first: train only on this number of characters; held-out text is what follows them.
        holdout: share of the text that each held-out part gets instead of the training part.
        song_separator: the line that separates songs; `""` is a blank line.
        field: the field that holds the text of each record of a JSON or CSV file; None for the
            usual names.
    """

    newlines: Literal["keep", "space"] = "keep"
    first: Annotated[int, Gt(0), Lt(2**31)] | None = None
    holdout: Annotated[float, Ge(0), Le(0.5)] = 0.1
    song_separator: str | None = None
    field: str | None = None
