"""Checkpoints: one safetensors file, its metadata in the header. Never pickle.

The header's one entry, `versemill`, is the SHA-256 of everything else, a space, and JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from versemill.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT = 1
_KEY = "versemill"


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on, or a model to write lyrics.

    Attributes:
        tensors: `model.*` weights, `best.*` best weights so far, `optimizer.*` and `state.*`.
        meta: JSON values: `step`, `epoch` (epochs reported), configuration, plugins, vocabulary,
            kernel plan, position and counters.
    """

    tensors: dict[str, Tensor]
    meta: dict[str, Any] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix.`, without it."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def write(checkpoint: Checkpoint, path: Path) -> None:
    """Writes the checkpoint whole or not at all: to a neighbour first, synced, then renamed.

    Raises:
        OSError: it cannot be written, as when the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    meta = json.dumps({"format": FORMAT, **checkpoint.meta}, ensure_ascii=False)
    tensors = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
    # One entry only: equal checkpoints are then equal files.
    header = {_KEY: f"{_digest(meta, tensors)} {meta}"}
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(tensors, partial, metadata=header)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except SafetensorError as error:  # how the library tells of a full disk
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint onto the CPU; raises `CheckpointError` for a damaged or foreign file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            digest, _, meta = (file.metadata() or {}).get(_KEY, "").partition(" ")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no readable checkpoint: {error}") from None
    parsed = _parsed(meta, path)
    if digest != _digest(meta, tensors):
        raise CheckpointError(f"{path} is damaged: its content does not fit its SHA-256")
    return Checkpoint(tensors, parsed)


def _digest(meta: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of metadata and tensors; safetensors itself does not notice a flipped bit."""
    import torch

    digest = hashlib.sha256(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(text)
    except ValueError:
        raise CheckpointError(f"{path} was not written by Versemill") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        got = meta.get("format") if isinstance(meta, dict) else None
        raise CheckpointError(f"{path} has checkpoint format {got}; this version reads {FORMAT}")
    return meta
