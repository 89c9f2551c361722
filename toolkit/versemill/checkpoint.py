"""Checkpoints: one safetensors file, its metadata as JSON in the header. Never pickle."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from versemill.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT = 1
_KEY = "versemill"
_DIGEST = "versemill.sha256"


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
    """Writes the checkpoint whole or not at all: to a neighbour first, synced, then renamed."""
    from safetensors.torch import save_file

    meta = json.dumps({"format": FORMAT, **checkpoint.meta}, ensure_ascii=False)
    tensors = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
    header = {_KEY: meta, _DIGEST: _digest(meta, tensors)}
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(tensors, partial, metadata=header)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint onto the CPU; raises `CheckpointError` for a damaged or foreign file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            meta = _meta(header, path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no readable checkpoint: {error}") from None
    if header.get(_DIGEST) != _digest(header[_KEY], tensors):
        raise CheckpointError(f"{path} is damaged: its content does not fit its SHA-256")
    return Checkpoint(tensors, meta)


def _digest(meta: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of metadata and tensors; safetensors itself does not notice a flipped bit."""
    import torch

    digest = hashlib.sha256(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _meta(header: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(header[_KEY])
    except (KeyError, ValueError):
        raise CheckpointError(f"{path} was not written by Versemill") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        got = meta.get("format") if isinstance(meta, dict) else None
        raise CheckpointError(f"{path} has checkpoint format {got}; this version reads {FORMAT}")
    return meta
