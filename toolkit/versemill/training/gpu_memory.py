"""How much memory of a GPU a job probably takes, before anybody has seen one. No torch here.

The estimate decides how many jobs share a GPU. It is corrected by what jobs of the same shape have
really taken, and raised for a job that ran out of memory, so it only has to be about right.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from versemill.plugins.selection import Selection
    from versemill.training.feasibility import MemoryEstimate

CONTEXT_BYTES = 750_000_000
"""What a process takes on a GPU before its first tensor: CUDA's own context, and cuBLAS.

Measured: 718 MB on an H200 with torch 2.11 and CUDA 13.
"""

_ACTIVATION_FACTOR = 2  # `MemoryEstimate` counts the least; the backward pass has its own beside
_STEPS_PER_DOUBLING = 4
_TEXT_CLASS_BYTES = 64 * 2**20
_BYTES_PER_ID = 8


def gpu_bytes(estimate: MemoryEstimate, characters: int) -> int:
    """Bytes that a training process takes, its CUDA context included.

    Args:
        estimate: of the network and one step.
        characters: of the training text, whose ids lie on the GPU.
    """
    step = estimate.parameters + _ACTIVATION_FACTOR * estimate.activations
    return CONTEXT_BYTES + step + characters * _BYTES_PER_ID


def stepped(size: int) -> int:
    """The size rounded up to one of four steps for each doubling.

    Jobs that need nearly the same then require the same, and the queue stays short to look at.
    """
    unit = 1 << max(0, (size - 1).bit_length() - _STEPS_PER_DOUBLING.bit_length())
    return -(-size // unit) * unit


def shape(selection: Selection, vocabulary_size: int, characters: int) -> str:
    """A digest of what decides how much memory a job takes.

    Args:
        selection: the job's plugins and options.
        vocabulary_size: V, or less than it; its power of two counts.
        characters: of the training text.
    """
    config = selection.config
    model, training = asdict(config.model), config.training
    del model["initialization"]
    decides = {
        "cell": [config.cell, config.cell_options],
        "model": model | {key: bool(model[key]) for key in ("dropout", "embedding_dropout")},
        "training": [training.batch_size, training.window, training.optimizer],
        "tokenizer": [config.tokenizer, config.tokenizer_options],
        "vocabulary": vocabulary_size.bit_length(),
        "text": characters * _BYTES_PER_ID // _TEXT_CLASS_BYTES,
        "precision": "float32",
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
