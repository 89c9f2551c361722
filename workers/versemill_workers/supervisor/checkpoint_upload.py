"""Uploads a checkpoint file to the database, one short transaction at a time."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from versemill.jobs.execution import worker_api
from versemill.plugins.record import records_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from versemill.jobs.execution.worker_api import Claim
    from versemill.jobs.storage.unit_of_work import Store


class Upload:
    """Stages one checkpoint chunk by chunk; durable once `advance` returns True.

    Args:
        store: where to.
        claim: the attempt that made it.
        path: the file, removed when it is durable.
        message: the trainer's `checkpoint` message.
    """

    def __init__(self, store: Store, claim: Claim, path: Path, message: Mapping[str, Any]) -> None:
        self._store = store
        self._claim = claim
        self._path = path
        self._size = path.stat().st_size
        self._flags = {k: message[k] for k in ("step", "epoch", "is_last", "is_best", "is_final")}
        self.halted = bool(message["halted"])
        """Whether the trainer waits at this checkpoint, having been told to halt."""
        self._made_with = records_from_json(message["made_with"])
        self._id: int | None = None
        self._next = 0
        self._digest = hashlib.sha256()

    def advance(self) -> bool:
        """Makes one transaction; whether the checkpoint is complete. After an error, call again."""
        if self._id is None:
            self._id = worker_api.begin_checkpoint(
                self._store, self._claim, size=self._size, **self._flags
            )
            return False
        if self._next * worker_api.CHUNK_BYTES < self._size:
            with self._path.open("rb") as file:
                file.seek(self._next * worker_api.CHUNK_BYTES)
                data = file.read(worker_api.CHUNK_BYTES)
            worker_api.add_chunk(self._store, self._claim, self._id, self._next, data)
            self._digest.update(data)
            self._next += 1
            return False
        sha256 = self._digest.hexdigest()
        worker_api.complete_checkpoint(self._store, self._claim, self._id, sha256, self._made_with)
        self._path.unlink()
        return True
