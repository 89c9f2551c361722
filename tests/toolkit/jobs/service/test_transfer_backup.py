"""An installation written into one file, in use or not."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from installations import fill, opened, rows, trained
from versemill.errors import DatabaseError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import transfer
from versemill.jobs.storage.database import upgrade
from versemill.jobs.storage.tables import CheckpointChunk, Event

if TYPE_CHECKING:
    from pathlib import Path

    from job_queue import JobQueue


class TestBackup:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        (tmp_path / "backups").mkdir()
        return tmp_path / "backups" / "backup.db"

    def test_is_the_installation(self, queue: JobQueue, database_url: str, file: Path) -> None:
        fill(queue)
        copied = transfer.backup(database_url, file, status=len)
        with opened(f"sqlite:///{file}") as found:
            assert rows(found) == rows(queue)
            assert copied.rows["checkpoint_chunks"] == found.count(CheckpointChunk)

    def test_is_one_sound_file_of_its_owners(
        self, queue: JobQueue, database_url: str, file: Path
    ) -> None:
        fill(queue)
        transfer.backup(database_url, file, status=len)
        assert list(file.parent.iterdir()) == [file]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

    def test_is_one_state_although_workers_go_on(
        self, queue: JobQueue, database_url: str, file: Path
    ) -> None:
        claim = trained(queue)
        before = rows(queue)
        names = iter(range(1000))

        def go_on(_results: str) -> None:
            queue.submit(f"later-{next(names)}")
            worker_api.record(queue.store, claim, remarks=["still there"])

        transfer.backup(database_url, file, status=go_on)
        assert queue.count(Event) > len(before["events"])
        with opened(f"sqlite:///{file}") as found:
            after = rows(found)
        changed = {name for name in before if after[name] != before[name]}
        assert changed == {"jobs"}  # the lease, and nothing else
        assert [job[:3] for job in after["jobs"]] == [job[:3] for job in before["jobs"]]

    def test_running_jobs_are_interrupted_there(
        self, queue: JobQueue, database_url: str, file: Path
    ) -> None:
        claim = trained(queue)
        transfer.backup(database_url, file, status=len)
        worker_api.renew(queue.store, claim)
        with opened(f"sqlite:///{file}") as restored:
            assert restored.job(claim.job_id).state_shown == "interrupted"
            assert service.live_workers(restored.store) == []
            assert worker_api.sweep(restored.store) == [claim.job_id]
            again = restored.claim()
            assert again.attempt == claim.attempt + 1
            latest = worker_api.latest_checkpoint(restored.store, claim.job_id)
            assert latest is not None
            assert latest.step == 20

    def test_is_restored_by_a_copy_at_once(
        self, postgres_url: str, empty_postgres_url: str, file: Path
    ) -> None:
        with opened(postgres_url) as queue:
            claim = trained(queue)
            transfer.backup(postgres_url, file, status=len)
        upgrade(empty_postgres_url)
        with opened(empty_postgres_url) as target:
            transfer.copy_to(f"sqlite:///{file}", empty_postgres_url, status=len)
            assert worker_api.sweep(target.store) == [claim.job_id]

    @pytest.mark.parametrize("kind", ["file", "dangling link"])
    def test_overwrites_nothing(self, sqlite_url: str, file: Path, kind: str) -> None:
        if kind == "file":
            file.write_text("precious")
        else:
            file.symlink_to(file.parent / "nowhere")
        with pytest.raises(DatabaseError, match="is there already"):
            transfer.backup(sqlite_url, file, status=len)
        assert list(file.parent.iterdir()) == [file]
        assert kind != "file" or file.read_text() == "precious"

    def test_does_not_overwrite_what_came_meanwhile(self, sqlite_url: str, file: Path) -> None:
        with pytest.raises(DatabaseError, match="is there already"):
            transfer.backup(sqlite_url, file, status=lambda _results: file.write_text("precious"))
        assert list(file.parent.iterdir()) == [file]
        assert file.read_text() == "precious"

    def test_leaves_nothing_half_written(
        self, queue: JobQueue, database_url: str, file: Path
    ) -> None:
        fill(queue)

        def interrupt(message: str) -> None:
            if message.startswith("copying checkpoint_chunks: 7 "):
                assert len(list(file.parent.iterdir())) > 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            transfer.backup(database_url, file, status=interrupt)
        assert list(file.parent.iterdir()) == []

    @pytest.mark.parametrize("name", ["missing/backup.db", "file/backup.db", "what?.db"])
    def test_a_place_that_will_not_do(self, sqlite_url: str, file: Path, name: str) -> None:
        (file.parent / "file").write_text("")
        with pytest.raises(DatabaseError, match=r"choose a (folder|path)"):
            transfer.backup(sqlite_url, file.parent / name, status=len)
        assert [left.name for left in file.parent.iterdir()] == ["file"]
