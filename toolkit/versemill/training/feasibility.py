"""Whether a job can be trained at all, checked before it is queued. Never imports torch.

Both checks refuse only jobs that certainly cannot be trained; the trainer may still fail. Cell,
sampler and tokenizer give their figures (`plugins.estimates`).

Symbols: B batch, T window, V vocabulary, E embedding, H hidden, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from versemill.errors import CorpusError, NotEnoughMemoryError
from versemill.phrases import counted
from versemill.plugins.estimates import cell_size, shortest_text, tokenizer_bounds
from versemill.settings import physical_memory
from versemill.text.splitting import split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.config.job import JobConfig
    from versemill.plugins.contracts import CellSize
    from versemill.plugins.selection import Selection
    from versemill.text.corpus import Text
    from versemill.text.splitting import Parts

_BYTES_PER_PARAMETER = {"sgd": 8, "adamw": 16}  # value, gradient and two moments, 4 bytes each
_BYTES_PER_ACTIVATION = 4


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes that training needs at least.

    Attributes:
        parameters: for weights, gradients and optimizer.
        activations: for one step.
    """

    parameters: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.parameters + self.activations


def check(text: Text, selection: Selection, *, memory: int | None = None) -> Parts:
    """Refuses a job that cannot be trained.

    Args:
        text: the corpus's text.
        selection: the job's plugins.
        memory: bytes of memory there are; by default this machine's.

    Returns:
        The text, split as the run will have it.

    Raises:
        CorpusError: nothing is left to train on, or too little for one batch of windows.
        NotEnoughMemoryError: the network needs more memory than there is.
        UnknownNameError: a plugin is missing.
    """
    return checked(text, selection, memory=memory)[0]


def checked(
    text: Text, selection: Selection, *, memory: int | None = None, parts: Parts | None = None
) -> tuple[Parts, MemoryEstimate, int]:
    """As `check`; also what is estimated on the way.

    `parts` is the text as it is split with these options, if that is known.

    Returns:
        The text, split as the run will have it; the memory that training needs at least; and V,
        the number of tokens, or less.
    """
    parts = split(text, selection.config.text) if parts is None else parts
    bounds = tokenizer_bounds(selection.tokenizer, parts.training)
    needed = fewest_ids(selection)
    if bounds is not None and bounds.ids_at_most < needed:
        raise _too_short(selection.config, len(parts.training), bounds.ids_at_most, needed)
    vocabulary_size = bounds.tokens_at_least if bounds else 1
    estimate = check_memory(selection, vocabulary_size, memory=memory)
    return parts, estimate, vocabulary_size


def check_memory(
    selection: Selection,
    vocabulary_size: int,
    *,
    memory: int | None = None,
    device: str = "cpu",
) -> MemoryEstimate:
    """Refuses a network that needs more memory than there is.

    Args:
        selection: the job's plugins.
        vocabulary_size: V, or less than it.
        memory: bytes of memory there are; by default this machine's.
        device: where steps are computed; elsewhere than on the CPU their activations do not count.

    Returns:
        What it needs at least.

    Raises:
        NotEnoughMemoryError: it does.
    """
    available = physical_memory() if memory is None else memory
    estimate = estimate_memory(selection, vocabulary_size)
    needed = estimate.total if device == "cpu" else estimate.parameters
    if available is not None and needed > available:
        raise _too_large(selection.config, estimate, available)
    return estimate


def fewest_ids(selection: Selection) -> int:
    """Ids of the shortest training text that has a step."""
    options = selection.config.training
    return shortest_text(selection.sampler, options.batch_size, options.window)


def estimate_memory(selection: Selection, vocabulary_size: int) -> MemoryEstimate:
    """What training needs at least, from the sizes alone."""
    model, training = selection.config.model, selection.config.training
    E, V = model.embedding_size, vocabulary_size
    parameters, units, width = V * E + V, V, E or V
    for layer, times in _layers(selection, width):
        parameters += times * layer.parameters
        units += times * layer.activations
        width = layer.output_size
    if not (model.tied and E):
        parameters += V * width
    elif width != E:
        parameters += width * E
    return MemoryEstimate(
        parameters=parameters * _BYTES_PER_PARAMETER[training.optimizer],
        activations=training.batch_size * training.window * units * _BYTES_PER_ACTIVATION,
    )


def _layers(selection: Selection, width: int) -> Iterator[tuple[CellSize, int]]:
    """The size of each layer, bottom first, and how many of the kind follow each other."""
    model = selection.config.model
    left = model.layers
    while left:
        layer = cell_size(selection.cell, width, model.hidden_size)
        times = left if layer.output_size == width else 1  # what follows has the same input
        yield layer, times
        left, width = left - times, layer.output_size


def _too_short(config: JobConfig, characters: int, ids: int, needed: int) -> CorpusError:
    options = config.training
    unit = "" if ids == characters else f", which make at most {counted(ids, 'id')}"
    return CorpusError(
        f"the training text has {counted(characters, 'character')}{unit}, but "
        f"training.batch_size = {counted(options.batch_size, 'window')} of training.window = "
        f"{options.window:,} need at least {needed:,}: lower them or use a longer text"
    )


def _too_large(config: JobConfig, estimate: MemoryEstimate, available: int) -> NotEnoughMemoryError:
    """Names the setting that takes the most memory."""
    field, value = "model.hidden_size", config.model.hidden_size
    if estimate.activations > estimate.parameters:
        field, value = "training.batch_size", config.training.batch_size
    elif config.model.embedding_size > config.model.hidden_size:
        field, value = "model.embedding_size", config.model.embedding_size
    elif config.model.layers > config.model.hidden_size:
        field, value = "model.layers", config.model.layers
    if field == "training.batch_size" and config.training.window > config.training.batch_size:
        field, value = "training.window", config.training.window
    return NotEnoughMemoryError(
        field,
        value,
        f"training needs about {_gigabytes(estimate.total)} of memory "
        f"({_gigabytes(estimate.parameters)} for weights and optimizer, "
        f"{_gigabytes(estimate.activations)} for one batch), "
        f"this machine has {_gigabytes(available)}",
    )


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
