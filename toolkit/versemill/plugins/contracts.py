"""The contracts of plugins: what each kind must provide.

Importing this module never imports torch, so that a corpus can be listed, read and submitted
without it. The cell contract is a `torch.nn.Module` and is therefore in another module,
`versemill.plugins.cell`.

A plugin may register an **estimate** with an implementation (`register(…, estimate=function)`).
It computes what a job needs at least, from the settings alone and without torch. A job that cannot
be trained is then refused when it is submitted. Without an estimate, zero is assumed.

Shapes: B batch, V vocabulary, L ids so far, S steps of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from versemill.text.corpus import Text


@dataclass(frozen=True, kw_only=True)
class CellSize:
    """How large one layer of a cell is.

    Attributes:
        parameters: numbers that are trained, exactly.
        activations: floats that the layer itself keeps for the backward pass for each id of a
            window, at least; its inputs and weights not counted.
        output_size: H of its outputs, exactly: the input size of the next layer.
    """

    parameters: int
    activations: int
    output_size: int


@dataclass(frozen=True, kw_only=True)
class TokenizerBounds:
    """What is known of a tokenizer before it is built.

    With a wide bound, a job may be accepted that fails later. With a false bound, a job is refused
    that could be trained.

    Attributes:
        tokens_at_least: V, the number of its tokens, is not less.
        ids_at_most: the text is turned into no more ids.
    """

    tokens_at_least: int
    ids_at_most: int


CellEstimate: TypeAlias = Callable[[int, int, Any], CellSize]
"""`estimate(input_size, hidden_size, options)` of a cell: the size of one such layer."""

SamplerEstimate: TypeAlias = Callable[[int, int, Any], int]
"""`estimate(batch_size, window, options)` of a sampler: ids of the shortest text with a step."""

TokenizerEstimate: TypeAlias = Callable[[str, Any], TokenizerBounds]
"""`estimate(text, options)` of a tokenizer: bounds for this training text, found quickly."""

Estimate: TypeAlias = CellEstimate | SamplerEstimate | TokenizerEstimate
"""What may stand as `estimate` in `register`; `options` is an instance of the options class."""


class Corpus(Protocol):
    """A source of text: called with an instance of its options class, returns the text.

    Must be deterministic. Raises `versemill.errors.CorpusError` for text that cannot be read.
    """

    def __call__(self, options: Any, /) -> Text: ...  # noqa: D102


class Tokenizer(Protocol):
    """Turns text into ids and back.

    Built by `train`, stored in checkpoints as JSON by `to_json`, rebuilt by `from_json`.
    """

    unknown_id: int | None
    """Id that stands for everything not in the vocabulary; None if there is none."""

    @property
    def tokens(self) -> Sequence[str]:
        """Text of each id, in id order."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; what is not in the vocabulary becomes `unknown_id`, or is left out."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; `decode(encode(text)) == text` for text within the vocabulary."""
        ...

    def to_json(self) -> Mapping[str, Any]:
        """Everything `from_json` needs, as JSON values."""
        ...

    @classmethod
    def train(cls, text: str, options: Any) -> Tokenizer:
        """Builds the vocabulary from the training text alone."""
        ...

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Tokenizer:
        """Rebuilds a tokenizer from what `to_json` returned."""
        ...


class Sampler(Protocol):
    """Chooses the training windows of each epoch.

    Built with `(length, batch_size, window, **options)`, where `length` is the number of ids in
    the training text. A window that starts at `s` reads ids `s … s+window-1` and predicts ids
    `s+1 … s+window`.
    """

    carries_state: ClassVar[bool]
    """Whether row b of a step continues row b of the step before (state is then carried)."""

    covers_text: ClassVar[bool]
    """Whether an epoch predicts every target once (less than a batch may be left over)."""

    steps: int
    """Steps in every epoch; 0 if the text is too short."""

    def starts(self, generator: torch.Generator) -> torch.Tensor:
        """Start of each window of one epoch, int64 of shape [S, B].

        All randomness comes from `generator` (CPU), so the same generator state gives the same
        windows.
        """
        ...


class Decoder(Protocol):
    """One stage in the chain from logits to the next id.

    Built with its options as keywords. Each stage may lower logits, never raise one that is
    minus infinity; after the last stage the next id is drawn from the softmax of what is left.
    """

    def __call__(self, logits_BV: torch.Tensor, history_BL: torch.Tensor) -> torch.Tensor:
        """Returns the changed logits [B, V]; `history_BL` holds the ids so far, prefix included."""
        ...
