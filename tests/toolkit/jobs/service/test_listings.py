"""Finding jobs and listing them, on both databases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from job_queue import lyric, metric
from people import ANN, BOB
from versemill.errors import UnknownNameError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.execution.worker_api import ProgressRow
from versemill.jobs.states import State
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from job_queue import JobQueue

OTHER = Text(("another\n",))


class TestFinding:
    def test_by_id_name_and_last(self, queue: JobQueue) -> None:
        first, second = queue.submit("first"), queue.submit("第二")
        assert service.find(queue.store, str(first.id)) == first
        assert service.find(queue.store, "第二") == second
        assert service.find(queue.store, "@last") == second
        assert service.find(queue.store, "@last", ANN) == second

    @pytest.mark.parametrize("key", ["7", "99999999999999", "frist", "@first", ""])
    def test_unknown(self, queue: JobQueue, key: str) -> None:
        queue.submit("first")
        with pytest.raises(UnknownNameError, match="known: first"):
            service.find(queue.store, key)

    def test_last_of_somebody_without_jobs(self, queue: JobQueue) -> None:
        queue.submit()
        with pytest.raises(UnknownNameError):
            service.find(queue.store, "@last", BOB)

    def test_newest_first(self, queue: JobQueue) -> None:
        ids = [queue.submit().id for _ in range(4)]
        assert [job.id for job in service.jobs(queue.store)] == ids[::-1]
        assert [job.id for job in service.jobs(queue.store, limit=2)] == ids[:1:-1]
        assert service.jobs(queue.store, owner="bob") == []
        queue.claim(ids[1])
        running = service.jobs(queue.store, states=[State.RUNNING])
        assert [job.id for job in running] == [ids[1]]

    @pytest.mark.parametrize(
        "function",
        [
            service.details,
            lambda store, job_id: service.remove(store, job_id, ANN),
            lambda store, job_id: service.request_cancel(store, job_id, ANN),
            lambda store, job_id: service.resume(store, job_id, ANN),
        ],
    )
    def test_unknown_ids(self, queue: JobQueue, function) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(UnknownNameError, match="no job named '7'"):
            function(queue.store, 7)


class TestJSON:
    def test_every_view(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.checkpoint(claim, step=10, is_last=True, is_best=True)
        worker_api.record(
            queue.store,
            claim,
            progress=ProgressRow(step=10, epoch=1, train_perplexity=float("inf")),
            metrics=[metric(10, valid=None)],
            lyrics=[lyric(10)],
            output="hello",
        )
        service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN)
        job_id = claim.job_id
        views = [
            *service.jobs(queue.store),
            service.details(queue.store, job_id),
            *service.curve(queue.store, job_id),
            *service.lyrics(queue.store, job_id, step=10),
            *service.output(queue.store, job_id),
            *service.live_workers(queue.store),
            *service.list_corpora(queue.store),
        ]
        listed, shown, point, text, printed, *_ = [
            json.loads(json.dumps(view.to_json(), allow_nan=False)) for view in views
        ]
        assert listed["id"] == job_id
        assert (listed["state"], listed["train_perplexity"]) == ("running", None)
        assert listed["created_at"].endswith("Z")
        assert shown.items() >= listed.items()
        assert shown["checkpoints"][0]["kinds"] == ["last", "best"]
        assert shown["events"][0]["message"] == "submitted"
        assert point["valid_perplexity"] is None
        assert {"epoch", "step", "train_perplexity", "characters_per_second"} <= set(point)
        wanted = {"step": 10, "prefix": "分开", "text": "分开…", "seed": 7, "decoder": "greedy"}
        assert text.items() >= wanted.items()
        assert printed == {"attempt": 1, "worker": claim.worker_name, "output": "hello"}

    def test_lyrics_of_a_step(self, queue: JobQueue) -> None:
        claim = queue.running()
        worker_api.record(queue.store, claim, lyrics=[lyric(10), lyric(20)])
        assert [t.step for t in service.lyrics(queue.store, claim.job_id)] == [10, 20]
        assert [t.step for t in service.lyrics(queue.store, claim.job_id, step=20)] == [20]
