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

from versemill.checkpoints.header import (
    LENGTH_BYTES,
    header_size,
    metadata,
    parsed_meta,
    refuse_absurd_meta,
)
from versemill.errors import CheckpointError
from versemill.files import open_regular, replacing
from versemill.settings import physical_memory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT = 1
_KEY = "versemill"
_READING_TAKES = 2  # times the file's size
_REASON_SHOWN = 200  # characters; the library may repeat what it read
_MALFORMED = (  # what reading a malformed file may raise, beside `SafetensorError`
    ArithmeticError,
    AssertionError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to continue, or a model to generate lyrics.

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
    """Writes the whole checkpoint or nothing: to a temporary file, which is synced and renamed.

    Raises:
        OSError: it cannot be written, as when the disk is full.
        CheckpointError: its metadata is larger than `read` accepts.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    meta = json.dumps({"format": FORMAT, **checkpoint.meta}, ensure_ascii=False)
    try:
        refuse_absurd_meta(meta)
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from None
    tensors = {name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}
    # One entry only: equal checkpoints are then equal files.
    header = {_KEY: f"{_digest(meta, tensors)} {meta}"}
    try:
        with replacing(path) as file:
            save_file(tensors, file.name, metadata=header)
    except SafetensorError as error:  # the library raises it for a full disk
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint onto the CPU; raises `CheckpointError` for a damaged or foreign file.

    No content of the file is executed. The memory used is at most a small multiple of its size.
    """
    from safetensors import SafetensorError

    try:
        return _checked(*_content(path), path)
    except CheckpointError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
    except MemoryError:
        reason = "it is larger than this machine's memory"
    except (SafetensorError, *_MALFORMED) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:_REASON_SHOWN]
    raise CheckpointError(f"{path} is no readable checkpoint: {reason}")


def _content(path: Path) -> tuple[bytes, str]:
    """All bytes of a regular file, and our entry of its header.

    The header is checked before the rest is read, because a sparse file may have any size.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = LENGTH_BYTES + header_size(file.read(LENGTH_BYTES), size)
        file.seek(0)
        start = file.read(end)
        entry = metadata(start[LENGTH_BYTES:], size - end).get(_KEY)
        if not isinstance(entry, str):
            raise CheckpointError(f"{path} was not written by Versemill")
        memory = physical_memory()
        if memory is not None and size > memory // _READING_TAKES:
            raise MemoryError
        file.seek(0)
        data = file.read(size)
        if len(data) != size or file.read(1) or data[:end] != start:
            raise ValueError("it changed while it was read")
    return data, entry


def _checked(data: bytes, entry: str, path: Path) -> Checkpoint:
    from safetensors.torch import load

    digest, _, text = entry.partition(" ")
    meta = parsed_meta(text)
    if meta.get("format") != FORMAT:
        got = f"{meta.get('format')!r:.20}"
        raise CheckpointError(f"{path} has checkpoint format {got}; this version reads {FORMAT}")
    tensors = load(data)
    if digest != _digest(text, tensors):
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
