"""Checkpoints in chunks: staged, complete, verified, kept and dropped."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update

from people import ANN
from versemill.errors import CheckpointError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.states import State
from versemill.jobs.storage.tables import CheckpointChunk, StoredCheckpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Update
    from sqlalchemy.sql.base import Executable

    from job_queue import JobQueue

LARGE = os.urandom(1024) * (9 * 1024)  # 9 MiB: three chunks


def read(queue: JobQueue, number: int) -> bytes:
    return b"".join(worker_api.read_checkpoint(queue.store, number))


def damage(queue: JobQueue, statement: Executable) -> None:
    with queue.store.unit_of_work() as uow:
        assert uow.execute(statement).rowcount == 1
        uow.commit()


def _chunk(position: int) -> Update:
    return update(CheckpointChunk).where(CheckpointChunk.number == position)


class TestBytes:
    @pytest.mark.parametrize("data", [LARGE, b"small", b""], ids=["large", "small", "empty"])
    def test_come_back_as_they_were(self, queue: JobQueue, data: bytes) -> None:
        number = queue.checkpoint(queue.running(), step=10, data=data)
        assert read(queue, number) == data

    def test_arrive_in_chunks(self, queue: JobQueue) -> None:
        number = queue.checkpoint(queue.running(), step=10, data=LARGE)
        sizes = [len(chunk) for chunk in worker_api.read_checkpoint(queue.store, number)]
        assert sizes == [4 << 20, 4 << 20, 1 << 20]

    def test_a_chunk_may_be_stored_twice(self, queue: JobQueue) -> None:
        claim = queue.running()
        number = worker_api.begin_checkpoint(queue.store, claim, step=1, epoch=0, size=1)
        worker_api.add_chunk(queue.store, claim, number, 0, b"a")
        worker_api.add_chunk(queue.store, claim, number, 0, b"b")
        assert queue.count(CheckpointChunk) == 1

    def test_changed_chunk(self, queue: JobQueue) -> None:
        number = queue.checkpoint(queue.running(), step=10, data=LARGE)
        chunk = update(CheckpointChunk).where(CheckpointChunk.number == 1)
        damage(queue, chunk.values(data=LARGE[: 4 << 20][::-1]))
        with pytest.raises(CheckpointError, match=r"\(step 10\) is damaged.* chunk 1 differs"):
            read(queue, number)

    def test_missing_chunk(self, queue: JobQueue) -> None:
        number = queue.checkpoint(queue.running(), step=10, data=LARGE)
        damage(queue, delete(CheckpointChunk).where(CheckpointChunk.number == 2))
        with pytest.raises(CheckpointError, match="chunk 2 is missing"):
            read(queue, number)

    def test_wrong_whole(self, queue: JobQueue) -> None:
        number = queue.checkpoint(queue.running(), step=10)
        damage(queue, update(StoredCheckpoint).values(sha256="0" * 64))
        with pytest.raises(CheckpointError, match="its checksum differs"):
            read(queue, number)

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: data[:-1],
            lambda data: data[:1000],
            lambda data: b"",
            lambda data: data + b"x",
            lambda data: bytes([data[0] ^ 1]) + data[1:],
            lambda data: data[:-1] + bytes([data[-1] ^ 128]),
        ],
        ids=["cut", "short", "empty", "longer", "first bit", "last bit"],
    )
    @pytest.mark.parametrize("hash_matches", [False, True])
    def test_damaged_chunk(
        self, queue: JobQueue, change: Callable[[bytes], bytes], hash_matches: bool
    ) -> None:
        """Whether its own checksum is wrong too, or right for what is there now."""
        number = queue.checkpoint(queue.running(), step=10, data=LARGE)
        data = change(LARGE[worker_api.CHUNK_BYTES : 2 * worker_api.CHUNK_BYTES])
        values = {"data": data}
        if hash_matches:
            values["sha256"] = hashlib.sha256(data).hexdigest()
        damage(queue, _chunk(1).values(values))
        with pytest.raises(CheckpointError, match=r"\(step 10\) is damaged"):
            read(queue, number)

    def test_swapped_chunks(self, queue: JobQueue) -> None:
        number = queue.checkpoint(queue.running(), step=10, data=os.urandom(9 << 20))
        for old, new in ((0, 7), (1, 0), (7, 1)):
            damage(queue, _chunk(old).values(number=new))
        with pytest.raises(CheckpointError, match="its checksum differs"):
            read(queue, number)

    def test_a_chunk_of_another_checkpoint(self, queue: JobQueue) -> None:
        first = queue.checkpoint(queue.running(), step=10, data=b"first")
        second = queue.checkpoint(queue.running(), step=10, data=b"other")
        of_first = delete(CheckpointChunk).where(CheckpointChunk.checkpoint_id == first)
        damage(queue, of_first)
        of_second = update(CheckpointChunk).where(CheckpointChunk.checkpoint_id == second)
        damage(queue, of_second.values(checkpoint_id=first))
        for number in (first, second):
            with pytest.raises(CheckpointError, match="is damaged"):
                read(queue, number)

    def test_a_chunk_too_many_changes_nothing(self, queue: JobQueue) -> None:
        number = queue.checkpoint(queue.running(), step=10, data=b"right")
        more = {"checkpoint_id": number, "number": 1, "data": b"x", "sha256": "0" * 64}
        with queue.store.unit_of_work() as uow:
            uow.put(CheckpointChunk, [more], key=("checkpoint_id", "number"))
            uow.commit()
        assert read(queue, number) == b"right"

    @pytest.mark.parametrize("size", [0, 1, 4 << 20, 2**62])
    def test_a_wrong_size(self, queue: JobQueue, size: int) -> None:
        number = queue.checkpoint(queue.running(), step=10, data=LARGE)
        damage(queue, update(StoredCheckpoint).values(size=size))
        with pytest.raises(CheckpointError, match="is damaged"):
            read(queue, number)

    def test_gone(self, queue: JobQueue) -> None:
        with pytest.raises(CheckpointError, match="is gone"):
            read(queue, 77)


class TestStaging:
    def test_nobody_sees_it_before_it_is_complete(self, queue: JobQueue) -> None:
        claim = queue.running()
        number = worker_api.begin_checkpoint(
            queue.store, claim, step=1, epoch=0, size=1, is_last=True
        )
        worker_api.add_chunk(queue.store, claim, number, 0, b"a")
        assert worker_api.latest_checkpoint(queue.store, claim.job_id) is None
        with pytest.raises(CheckpointError):
            read(queue, number)

    @pytest.mark.parametrize("chunks", [[], [(0, b"a")], [(1, b"ab")]])
    def test_missing_bytes_are_noticed(
        self, queue: JobQueue, chunks: list[tuple[int, bytes]]
    ) -> None:
        claim = queue.running()
        number = worker_api.begin_checkpoint(queue.store, claim, step=1, epoch=0, size=2)
        for position, data in chunks:
            worker_api.add_chunk(queue.store, claim, number, position, data)
        with pytest.raises(CheckpointError, match="incomplete"):
            worker_api.complete_checkpoint(queue.store, claim, number, "0" * 64)

    def test_another_jobs_checkpoint_is_out_of_reach(self, queue: JobQueue) -> None:
        mine, other = queue.running(), queue.running()
        number = worker_api.begin_checkpoint(queue.store, other, step=1, epoch=0, size=1)
        with pytest.raises(CheckpointError, match="in the making"):
            worker_api.add_chunk(queue.store, mine, number, 0, b"a")


class TestRetention:
    def test_last_best_and_final_are_kept(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.checkpoint(claim, step=10, is_last=True, is_best=True)
        queue.checkpoint(claim, step=20, is_last=True)
        queue.checkpoint(claim, step=30, is_last=True)
        kept = {c.step: c.kinds for c in queue.details(claim).checkpoints}
        assert kept == {10: ("best",), 30: ("last",)}
        queue.checkpoint(claim, step=40, is_last=True, is_best=True, is_final=True)
        kept = {c.step: c.kinds for c in queue.details(claim).checkpoints}
        assert kept == {40: ("last", "best", "final")}
        assert queue.count(CheckpointChunk) == 1

    def test_other_jobs_keep_theirs(self, queue: JobQueue) -> None:
        first, second = queue.running(), queue.running()
        queue.checkpoint(first, step=10)
        queue.checkpoint(second, step=20)
        assert queue.count(StoredCheckpoint) == 2

    def test_resume_prefers_the_last_over_a_later_best(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.checkpoint(claim, step=10, is_last=True)
        queue.checkpoint(claim, step=15, is_best=True)
        found = worker_api.resumable_checkpoints(queue.store, claim.job_id)
        assert [row.step for row in found] == [10, 15]

    def test_rewind_drops_a_damaged_last_and_keeps_a_later_best(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.checkpoint(claim, step=15, is_best=True)
        queue.checkpoint(claim, step=20, is_last=True)
        worker_api.rewind(queue.store, claim, epoch=1, step=10)
        assert [c.kinds for c in queue.details(claim).checkpoints] == [("best",)]

    def test_a_finished_job_continues_from_its_final(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.checkpoint(claim, step=500, is_last=True, is_final=True)
        worker_api.finish(queue.store, claim, State.SUCCEEDED, message="done")
        service.resume(queue.store, claim.job_id, ANN, epochs=80)
        latest = worker_api.latest_checkpoint(queue.store, claim.job_id)
        assert latest is not None
        assert (latest.step, latest.is_final) == (500, True)
