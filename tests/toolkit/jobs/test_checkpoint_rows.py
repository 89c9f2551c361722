"""Checkpoints in chunks: staged, complete, verified, kept and dropped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update

from versemill.errors import CheckpointError
from versemill.jobs import leases, service
from versemill.jobs.states import State
from versemill.jobs.tables import CheckpointChunk, StoredCheckpoint

if TYPE_CHECKING:
    from jobs_floor import Floor
    from sqlalchemy.sql.base import Executable

LARGE = os.urandom(1024) * (9 * 1024)  # 9 MiB: three chunks


def read(floor: Floor, number: int) -> bytes:
    return b"".join(leases.read_checkpoint(floor.store, number))


def damage(floor: Floor, statement: Executable) -> None:
    with floor.store.unit_of_work() as uow:
        assert uow.execute(statement).rowcount == 1
        uow.commit()


class TestBytes:
    @pytest.mark.parametrize("data", [LARGE, b"small", b""], ids=["large", "small", "empty"])
    def test_come_back_as_they_were(self, floor: Floor, data: bytes) -> None:
        number = floor.checkpoint(floor.running(), step=10, data=data)
        assert read(floor, number) == data

    def test_arrive_in_chunks(self, floor: Floor) -> None:
        number = floor.checkpoint(floor.running(), step=10, data=LARGE)
        sizes = [len(chunk) for chunk in leases.read_checkpoint(floor.store, number)]
        assert sizes == [4 << 20, 4 << 20, 1 << 20]

    def test_a_chunk_may_be_stored_twice(self, floor: Floor) -> None:
        claim = floor.running()
        number = leases.begin_checkpoint(floor.store, claim, step=1, epoch=0, size=1)
        leases.add_chunk(floor.store, claim, number, 0, b"a")
        leases.add_chunk(floor.store, claim, number, 0, b"b")
        assert floor.count(CheckpointChunk) == 1

    def test_changed_chunk(self, floor: Floor) -> None:
        number = floor.checkpoint(floor.running(), step=10, data=LARGE)
        chunk = update(CheckpointChunk).where(CheckpointChunk.number == 1)
        damage(floor, chunk.values(data=LARGE[: 4 << 20][::-1]))
        with pytest.raises(CheckpointError, match=r"\(step 10\) is damaged.* chunk 1 differs"):
            read(floor, number)

    def test_missing_chunk(self, floor: Floor) -> None:
        number = floor.checkpoint(floor.running(), step=10, data=LARGE)
        damage(floor, delete(CheckpointChunk).where(CheckpointChunk.number == 2))
        with pytest.raises(CheckpointError, match="chunk 2 is missing"):
            read(floor, number)

    def test_wrong_whole(self, floor: Floor) -> None:
        number = floor.checkpoint(floor.running(), step=10)
        damage(floor, update(StoredCheckpoint).values(sha256="0" * 64))
        with pytest.raises(CheckpointError, match="its checksum differs"):
            read(floor, number)

    def test_gone(self, floor: Floor) -> None:
        with pytest.raises(CheckpointError, match="is gone"):
            read(floor, 77)


class TestStaging:
    def test_nobody_sees_it_before_it_is_complete(self, floor: Floor) -> None:
        claim = floor.running()
        number = leases.begin_checkpoint(floor.store, claim, step=1, epoch=0, size=1, is_last=True)
        leases.add_chunk(floor.store, claim, number, 0, b"a")
        assert leases.latest_checkpoint(floor.store, claim.job_id) is None
        with pytest.raises(CheckpointError):
            read(floor, number)

    @pytest.mark.parametrize("chunks", [[], [(0, b"a")], [(1, b"ab")]])
    def test_missing_bytes_are_noticed(self, floor: Floor, chunks: list[tuple[int, bytes]]) -> None:
        claim = floor.running()
        number = leases.begin_checkpoint(floor.store, claim, step=1, epoch=0, size=2)
        for position, data in chunks:
            leases.add_chunk(floor.store, claim, number, position, data)
        with pytest.raises(CheckpointError, match="incomplete"):
            leases.complete_checkpoint(floor.store, claim, number, "0" * 64)

    def test_another_jobs_checkpoint_is_out_of_reach(self, floor: Floor) -> None:
        mine, other = floor.running(), floor.running()
        number = leases.begin_checkpoint(floor.store, other, step=1, epoch=0, size=1)
        with pytest.raises(CheckpointError, match="in the making"):
            leases.add_chunk(floor.store, mine, number, 0, b"a")


class TestRetention:
    def test_last_best_and_final_are_kept(self, floor: Floor) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=10, is_last=True, is_best=True)
        floor.checkpoint(claim, step=20, is_last=True)
        floor.checkpoint(claim, step=30, is_last=True)
        kept = {c.step: c.kinds for c in floor.details(claim).checkpoints}
        assert kept == {10: ("best",), 30: ("last",)}
        floor.checkpoint(claim, step=40, is_last=True, is_best=True, is_final=True)
        kept = {c.step: c.kinds for c in floor.details(claim).checkpoints}
        assert kept == {40: ("last", "best", "final")}
        assert floor.count(CheckpointChunk) == 1

    def test_other_jobs_keep_theirs(self, floor: Floor) -> None:
        first, second = floor.running(), floor.running()
        floor.checkpoint(first, step=10)
        floor.checkpoint(second, step=20)
        assert floor.count(StoredCheckpoint) == 2

    def test_resume_prefers_the_last_over_a_later_best(self, floor: Floor) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=10, is_last=True)
        floor.checkpoint(claim, step=15, is_best=True)
        found = leases.resumable_checkpoints(floor.store, claim.job_id)
        assert [row.step for row in found] == [10, 15]

    def test_rewind_drops_a_damaged_last_and_keeps_a_later_best(self, floor: Floor) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=15, is_best=True)
        floor.checkpoint(claim, step=20, is_last=True)
        leases.rewind(floor.store, claim, epoch=1, step=10)
        assert [c.kinds for c in floor.details(claim).checkpoints] == [("best",)]

    def test_a_finished_job_continues_from_its_final(self, floor: Floor) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=500, is_last=True, is_final=True)
        leases.finish(floor.store, claim, State.SUCCEEDED, message="done")
        service.resume(floor.store, claim.job_id, "ann", epochs=80)
        latest = leases.latest_checkpoint(floor.store, claim.job_id)
        assert latest is not None
        assert (latest.step, latest.is_final) == (500, True)
