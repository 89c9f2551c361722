"""Which places are reserved now, and for whom: pure, for claims and for whoever asks why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from versemill.jobs.devices import CPU

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """A reservation whose period is now.

    Attributes:
        target: name of a worker, or UUID of a GPU.
        owner_id: whose jobs may start there; None if `label` says it.
        label: what jobs that may start there ask for.
        whose: in words, for messages.
    """

    id: int
    target: str
    owner_id: int | None
    label: str | None
    ends_at: datetime
    whose: str


def closed_by(
    reserved: Iterable[Reserved],
    *,
    worker_name: str,
    device_id: str | None,
    owner_id: int,
    labels: Sequence[str],
) -> Reserved | None:
    """The reservation that keeps a job off a place; None if none does.

    Args:
        reserved: those that hold now (`active`).
        worker_name: of the place.
        device_id: of the place; only a GPU can be reserved by it.
        owner_id: the job's.
        labels: what the job asks for.
    """
    for each in reserved:
        on_gpu = device_id not in {None, CPU} and each.target == device_id
        if each.target != worker_name and not on_gpu:
            continue
        theirs = each.label in labels if each.label is not None else each.owner_id == owner_id
        if not theirs:
            return each
    return None
