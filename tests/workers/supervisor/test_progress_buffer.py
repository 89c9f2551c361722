"""What a trainer tells reaches the database whole, however it is gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.jobs.execution import worker_api
from versemill.jobs.storage.tables import Attempt
from versemill_workers.supervisor.progress_buffer import ProgressBuffer
from versemill_workers.supervisor.spool import Spool

if TYPE_CHECKING:
    from worker_cluster import Cluster

PROGRESS = {
    "step": 12,
    "epoch": 2,
    "train_perplexity": 9.0,
    "characters_per_second": 100.0,
    "seconds_left": 1.0,
}


def test_a_reports_figure_survives_the_progress_after_it(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit()
    claim = worker_api.claim(
        sqlite_cluster.store, worker_api.register_worker(sqlite_cluster.store, "one", 1)
    )
    assert claim is not None
    buffer = ProgressBuffer(
        sqlite_cluster.store, claim, Spool(sqlite_cluster.home / "spool", claim)
    )
    buffer.report(PROGRESS | {"step": 10, "epoch": 1, "valid_perplexity": 7.0, "lyrics": []})
    buffer.progress(PROGRESS)
    buffer.write(at_once=True)
    shown = sqlite_cluster.job(job)
    assert (shown.step, shown.valid_perplexity) == (12, 7.0)
    assert not buffer.pending


def test_gpu_memory_is_written_with_what_comes_next(sqlite_cluster: Cluster) -> None:
    sqlite_cluster.submit()
    store = sqlite_cluster.store
    claim = worker_api.claim(store, worker_api.register_worker(store, "one", 1))
    assert claim is not None
    buffer = ProgressBuffer(store, claim, Spool(sqlite_cluster.home / "spool", claim))
    for message in ({"memory_used": 5_000_000_000}, {"memory_used": None}, {}):
        buffer.progress(PROGRESS | message)
    buffer.write(at_once=True)
    with store.reading() as session:
        assert session.get_one(Attempt, (claim.job_id, 1)).memory_used == 5_000_000_000
