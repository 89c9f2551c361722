"""Whether a job can be trained at all, said before it waits in a queue. Never imports torch.

Both checks refuse only what cannot work; the trainer has the final word.

Symbols: B batch, T window, V vocabulary, E embedding, H hidden, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from versemill.errors import CorpusError, NotEnoughMemoryError
from versemill.phrases import counted
from versemill.settings import physical_memory
from versemill.text.splitting import split

if TYPE_CHECKING:
    from versemill.config.job import JobConfig
    from versemill.text.corpus import Text
    from versemill.text.splitting import Parts

_BYTES_PER_PARAMETER = 16  # value, gradient and two moments of the optimizer, 4 bytes each
_BYTES_PER_ACTIVATION = 4
_ACTIVATIONS_PER_UNIT = 8  # what a gated cell keeps for the backward pass
_GATES = {"rnn": 1, "gru": 3, "lstm": 4}  # others count as one: an estimate must not refuse wrongly


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


def check(text: Text, config: JobConfig, *, memory: int | None = None) -> Parts:
    """Refuses a job that cannot be trained.

    Args:
        text: the corpus's text.
        config: the job.
        memory: bytes of memory there are; by default this machine's.

    Returns:
        The text, split as the run will have it.

    Raises:
        CorpusError: nothing is left to train on, or too little for one batch of windows.
        NotEnoughMemoryError: the network needs more memory than there is.
    """
    parts = split(text, config.text)
    training = parts.training
    needed = fewest_characters(config)
    if config.tokenizer == "char" and len(training) < needed:
        options = config.training
        raise CorpusError(
            f"the training text has {counted(len(training), 'character')}, but "
            f"training.batch_size = {counted(options.batch_size, 'window')} of training.window = "
            f"{options.window:,} need at least {needed:,}: lower them or use a longer text"
        )
    check_memory(config, len(set(training)) + 1, memory=memory)
    return parts


def check_memory(
    config: JobConfig, vocabulary_size: int, *, memory: int | None = None, device: str = "cpu"
) -> None:
    """Refuses a network that needs more memory than there is.

    Args:
        config: the job.
        vocabulary_size: V.
        memory: bytes of memory there are; by default this machine's.
        device: where steps are computed; elsewhere than on the CPU their activations do not count.

    Raises:
        NotEnoughMemoryError: it does.
    """
    available = physical_memory() if memory is None else memory
    estimate = estimate_memory(config, vocabulary_size)
    needed = estimate.total if device == "cpu" else estimate.parameters
    if available is not None and needed > available:
        raise _too_large(config, estimate, available)


def fewest_characters(config: JobConfig) -> int:
    """Characters that one batch needs; samplers we do not know may overlap their windows."""
    batch_size, window = config.training.batch_size, config.training.window
    if config.sampler == "consecutive":
        return batch_size * (window + 1)
    return batch_size * window + 1 if config.sampler == "random" else window + 1


def estimate_memory(config: JobConfig, vocabulary_size: int) -> MemoryEstimate:
    """What training needs at least, from the sizes alone."""
    model, training = config.model, config.training
    H, E, V = model.hidden_size, model.embedding_size, vocabulary_size
    parameters, width = V * E, E or V
    for _ in range(min(model.layers, 2)):  # from the second on, all layers are alike
        layer = _GATES.get(config.cell, 1) * H * (width + H)
        parameters += layer
        width = H
    parameters += max(0, model.layers - 2) * layer
    parameters += 0 if model.tied and E else V * H
    units = V + model.layers * _ACTIVATIONS_PER_UNIT * H
    activations = training.batch_size * training.window * units
    return MemoryEstimate(
        parameters=parameters * _BYTES_PER_PARAMETER,
        activations=activations * _BYTES_PER_ACTIVATION,
    )


def _too_large(config: JobConfig, estimate: MemoryEstimate, available: int) -> NotEnoughMemoryError:
    """Blames the setting with the largest share."""
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
