"""Whether two jobs ended the same, bit for bit: checkpoints, curve, lyrics and result."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from reprlib import Repr
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from versemill.checkpoints.file import Checkpoint
    from versemill.jobs.storage.unit_of_work import Store

Row = dict[str, Any]

_FIGURES = ("epoch", "step", "train_perplexity", "valid_perplexity")
_LYRIC = ("epoch", "step", "prefix", "seed", "decoder", "text")


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that a job leaves and that depends on what was computed, not on when or by whom.

    Attributes:
        checkpoints: by what they are kept as, such as `best` or `last and final`.
        reports: the curve, a row for each report.
        lyrics: every text written.
        result: the figures of the finished job.
    """

    checkpoints: dict[str, Checkpoint]
    reports: list[Row]
    lyrics: list[Row]
    result: Row

    @property
    def tensors(self) -> int:
        """Number of tensors in all checkpoints together."""
        return sum(len(checkpoint.tensors) for checkpoint in self.checkpoints.values())


def read_record(store: Store, job_id: int) -> Record:
    """Reads the record of a job; raises `CheckpointError` for a damaged checkpoint."""
    from versemill.checkpoints.file import read
    from versemill.jobs import service
    from versemill.jobs.service.trained_models import save_checkpoint

    details = service.details(store, job_id)
    checkpoints = {}
    with tempfile.TemporaryDirectory(prefix="versemill-") as folder:
        for kept in details.checkpoints:
            path = Path(folder) / f"{kept.id}.safetensors"
            with path.open("wb") as file:
                save_checkpoint(store, kept, file)
            checkpoints[" and ".join(kept.kinds)] = read(path)
    return Record(
        checkpoints=checkpoints,
        reports=[_row(point, _FIGURES) for point in service.curve(store, job_id)],
        lyrics=[_row(lyric, _LYRIC) for lyric in service.lyrics(store, job_id)],
        result=details.result or {},
    )


def first_difference(one: Record, other: Record) -> str | None:
    """Where the second record differs from the first, in words; None if it is the same.

    Tensors are compared by dtype, shape and bytes, so that neither NaN nor the sign of a zero
    hides a difference; figures by every digit.
    """
    return next(_differences(one, other), None)


def _differences(one: Record, other: Record) -> Iterator[str]:
    for kind in sorted(one.checkpoints.keys() | other.checkpoints.keys()):
        ours, theirs = one.checkpoints.get(kind), other.checkpoints.get(kind)
        where = f"{kind} checkpoint"
        if ours is None or theirs is None:
            yield f"the {where} is missing {_which(ours)}"
            continue
        for name in sorted(ours.tensors.keys() | theirs.tensors.keys()):
            yield from _unlike(
                f"{where}, tensor {name}", ours.tensors.get(name), theirs.tensors.get(name)
            )
        yield from _changed(f"{where}, metadata", ours.meta, theirs.meta)
    yield from _changed_rows("report", one.reports, other.reports)
    yield from _changed_rows("lyric", one.lyrics, other.lyrics)
    yield from _changed("result", one.result, other.result)


def _unlike(where: str, one: Tensor | None, other: Tensor | None) -> Iterator[str]:
    if one is None or other is None:
        yield f"{where} is missing {_which(one)}"
        return
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        yield _words(where, f"{one.dtype} {[*one.shape]}", f"{other.dtype} {[*other.shape]}")
        return
    places = (_bytes(one) != _bytes(other)).any(dim=1).nonzero().flatten().tolist()
    if places:
        at = places[0]
        values = (repr(tensor.flatten()[at].item()) for tensor in (one, other))
        yield (
            f"{_words(f'{where}, element {at:,}', *values)} "
            f"({len(places):,} of {one.numel():,} elements differ)"
        )


def _bytes(tensor: Tensor) -> Tensor:
    """The tensor's bytes, uint8 [elements, bytes of one]."""
    import torch

    return tensor.contiguous().reshape(-1, 1).view(torch.uint8)


def _changed_rows(kind: str, one: list[Row], other: list[Row]) -> Iterator[str]:
    for number, (ours, theirs) in enumerate(zip_longest(one, other), 1):
        where = f"{kind} {number} (epoch {(ours or theirs)['epoch']})"
        if ours is None or theirs is None:
            yield f"{where} is missing {_which(ours)}"
        else:
            yield from _changed(where, ours, theirs)


def _changed(where: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    # A float's repr has every bit of it.
    for key in sorted(one.keys() | other.keys()):
        if repr(one.get(key)) != repr(other.get(key)):
            values = (_short.repr(row.get(key)) for row in (one, other))
            yield _words(f"{where}, {key}", *values)


def _words(where: str, ours: str, theirs: str) -> str:
    return f"{where}: {ours} undisturbed, {theirs} after the kills"


def _which(undisturbed: object) -> str:
    return "undisturbed" if undisturbed is None else "after the kills"


def _row(view: object, names: tuple[str, ...]) -> Row:
    return {name: getattr(view, name) for name in names}


_short = Repr()
_short.maxother = _short.maxstring = 60
