"""What a trainer tells reaches the database whole, however it is gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.jobs.execution import worker_api
from versemill_workers.supervisor.progress_buffer import ProgressBuffer
from versemill_workers.supervisor.spool import Spool

if TYPE_CHECKING:
    from worker_stage import Stage

PROGRESS = {
    "step": 12,
    "epoch": 2,
    "train_perplexity": 9.0,
    "characters_per_second": 100.0,
    "seconds_left": 1.0,
}


def test_a_reports_figure_survives_the_progress_after_it(alone: Stage) -> None:
    job = alone.submit()
    claim = worker_api.claim(alone.store, worker_api.register_worker(alone.store, "one", 1))
    assert claim is not None
    buffer = ProgressBuffer(alone.store, claim, Spool(alone.home / "spool", claim))
    buffer.report(PROGRESS | {"step": 10, "epoch": 1, "valid_perplexity": 7.0, "lyrics": []})
    buffer.progress(PROGRESS)
    buffer.write(at_once=True)
    shown = alone.job(job)
    assert (shown.step, shown.valid_perplexity) == (12, 7.0)
    assert not buffer.pending
