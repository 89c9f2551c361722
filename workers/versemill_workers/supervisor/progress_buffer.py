"""Buffers what a trainer reports and writes it in few transactions."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from versemill.jobs.execution import worker_api
from versemill.jobs.execution.worker_api import LyricRow, MetricRow, ProgressRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.jobs.execution.worker_api import Claim
    from versemill.jobs.states import Request
    from versemill.jobs.storage.unit_of_work import Store
    from versemill_workers.supervisor.spool import Spool

WRITE_SECONDS = 0.9

R = TypeVar("R", ProgressRow, MetricRow, LyricRow)


class ProgressBuffer:
    """Progress, metrics, lyrics, remarks and output of one attempt, on their way to the database.

    Nothing is dropped before it is written: after a failed write the same rows are tried again.
    """

    def __init__(self, store: Store, claim: Claim, spool: Spool) -> None:
        self._store = store
        self._claim = claim
        self._spool = spool
        self._progress: ProgressRow | None = None
        self._metrics: list[MetricRow] = []
        self._lyrics: list[LyricRow] = []
        self._remarks: list[str] = []
        self._provenance: Mapping[str, Any] | None = None
        self._memory_used: int | None = None
        self._output = ""
        self._written_at = 0.0

    @property
    def pending(self) -> bool:
        """Whether something is not written yet."""
        rows = self._progress or self._metrics or self._lyrics or self._remarks
        return bool(rows or self._provenance)

    def progress(self, message: Mapping[str, Any]) -> None:
        """Takes a `progress` message: where training is now."""
        fresh = _row(ProgressRow, message)
        self.memory(message)
        if self._progress is not None and fresh.valid_perplexity is None:
            # A report not written yet must not lose its figure to what came after it.
            fresh = replace(fresh, valid_perplexity=self._progress.valid_perplexity)
        self._progress = fresh

    def report(self, message: Mapping[str, Any]) -> None:
        """Takes a `report` message: the figures and lyrics of an epoch."""
        self._progress = _row(ProgressRow, message)
        self.memory(message)
        self._metrics.append(_row(MetricRow, message))
        self._lyrics += [
            _row(LyricRow, lyric | {"epoch": message["epoch"]}) for lyric in message["lyrics"]
        ]

    def memory(self, message: Mapping[str, Any]) -> None:
        """Takes what a message says of the GPU memory that the trainer has taken."""
        self._memory_used = message.get("memory_used") or self._memory_used

    def remark(self, message: str) -> None:
        """Takes a message that becomes an event of the job."""
        self._remarks.append(message)

    def provenance(self, found: Mapping[str, Any]) -> None:
        """Takes a `provenance` message: with what the attempt computes."""
        self._provenance = found

    def write(self, *, at_once: bool = False) -> Request | None:
        """Writes what has gathered, if it is time to; raises as `worker_api.record` does.

        Returns:
            What people want of the job now; None if nothing was written.
        """
        if not at_once and time.monotonic() - self._written_at < WRITE_SECONDS:
            return None
        output = self._spool.output()
        fresh = output != self._output
        if not self.pending and not fresh:
            return None
        request = worker_api.record(
            self._store,
            self._claim,
            progress=self._progress,
            metrics=self._metrics,
            lyrics=self._lyrics,
            remarks=self._remarks,
            output=output if fresh else None,
            provenance=self._provenance,
            memory_used=self._memory_used,
        )
        self._provenance = None
        self._progress, self._metrics, self._lyrics, self._remarks = None, [], [], []
        self._memory_used = None
        self._output = output
        self._written_at = time.monotonic()
        return request


def _row(kind: type[R], message: Mapping[str, Any]) -> R:
    """A row of the message's fields that it has."""
    return kind(**{f.name: message[f.name] for f in fields(kind) if f.name in message})
