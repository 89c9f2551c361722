"""Files of an attempt: the lock that says whether a worker is there, and the tracking folder."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from versemill.jobs.execution import worker_api
from versemill.jobs.storage.tables import Job
from versemill_workers.supervisor.spool import remove_abandoned, spool_lock, tracking_folder

if TYPE_CHECKING:
    from pathlib import Path

    from worker_cluster import Cluster

WORKER = "3b1c1a52-0000-0000-0000-000000000000"


def test_files_are_kept_while_the_worker_is_there_and_removed_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / f"{WORKER}-job-7-1"
    with spool_lock(tmp_path, WORKER):
        folder.mkdir()
        remove_abandoned(tmp_path)
        assert folder.exists()
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_cleared_up_before_it_was_taken_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def late(file: Any, how: int) -> None:
        if how == fcntl.LOCK_EX:
            monkeypatch.undo()
            remove_abandoned(tmp_path)  # another worker starts at the same moment
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    folder = tmp_path / f"{WORKER}-job-7-1"
    with spool_lock(tmp_path, WORKER):
        folder.mkdir()
        remove_abandoned(tmp_path)
        assert folder.exists()


def test_a_worker_that_breaks_off_leaves_no_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), spool_lock(tmp_path, WORKER):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x/../../..", "..", "/etc", "a\nb", "长" * 100])
def test_a_name_from_the_database_stays_within_the_folder(
    sqlite_cluster: Cluster, tmp_path: Path, name: str
) -> None:
    job = sqlite_cluster.submit()
    with sqlite_cluster.store.unit_of_work() as uow:
        uow.execute(update(Job).where(Job.id == job.id).values(name=name))
        uow.commit()
    claim = worker_api.claim(
        sqlite_cluster.store, worker_api.register_worker(sqlite_cluster.store, "here", 1)
    )
    assert claim is not None
    assert claim.job_name == name
    root = tmp_path / "tracking"
    folder = tracking_folder(root, claim)
    folder.mkdir(parents=True)
    assert folder.resolve().parent == root
    assert folder.name.startswith(f"{job.id}-")
