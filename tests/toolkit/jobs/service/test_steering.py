"""The people's side on both databases."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from jobs_floor import lyric, metric
from versemill.errors import ConfigError, JobStateError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.execution.worker_api import ProgressRow
from versemill.jobs.states import Outcome, Request, State
from versemill.jobs.storage.tables import (
    Attempt,
    CheckpointChunk,
    Event,
    Job,
    LyricText,
    Metric,
    StoredCheckpoint,
    StoredText,
)
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from jobs_floor import Floor

OTHER = Text(("another\n",))


class TestSubmit:
    def test_what_is_stored(self, floor: Floor) -> None:
        job = floor.submit()
        assert job == floor.job(job.id)
        assert (job.owner, job.corpus, job.cell, job.recipe) == (
            "ann", "starter-zh", "gru", "default"
        )  # fmt: skip
        assert (job.state, job.request, job.epochs) == (State.QUEUED, Request.NONE, 50)
        shown = service.details(floor.store, job.id)
        assert shown.config["training"]["epochs"] == 50
        assert [event.message for event in shown.events] == ["submitted"]

    def test_wakes_after_the_commit(self, floor: Floor) -> None:
        from jobs_floor import CONFIG, TEXT

        seen: list[int] = []
        service.submit(
            floor.store,
            CONFIG,
            TEXT,
            [],
            owner="ann",
            wake=lambda: seen.append(len(service.jobs(floor.store))),
        )
        assert seen == [1]

    @pytest.mark.parametrize(
        ("corpus", "stem"),
        [
            ("starter-zh", "starter-zh"),
            ("/data/jaychou_lyrics.txt.zip", "jaychou_lyrics"),
            ("歌 词/周末.txt", "周末"),
            ("lyrics/", "lyrics"),
            ("/x/.hidden", "text"),
        ],
    )
    def test_automatic_names(self, floor: Floor, corpus: str, stem: str) -> None:
        job = floor.submit(corpus=corpus)
        assert job.name == f"{stem}-gru-{job.id}"

    def test_an_automatic_name_already_taken(self, floor: Floor) -> None:
        first = floor.submit()
        floor.submit(f"starter-zh-gru-{first.id + 2}")
        assert floor.submit().name.startswith(f"starter-zh-gru-{first.id + 2}-")

    def test_names_are_unique(self, floor: Floor) -> None:
        floor.submit("mine")
        with pytest.raises(ConfigError, match="name = 'mine' is not allowed: a name that no other"):
            floor.submit("mine")
        assert floor.count(Job) == 1

    @pytest.mark.parametrize("name", ["", "12", "@last", "-x", "a b", "a/b", "x" * 101, "a\nb"])
    def test_names_that_could_be_misread(self, floor: Floor, name: str) -> None:
        with pytest.raises(ConfigError, match="1 to 100 characters"):
            floor.submit(name)

    def test_texts_are_stored_once(self, floor: Floor) -> None:
        for _ in range(3):
            floor.submit()
        floor.submit(text=OTHER)
        assert floor.count(StoredText) == 2

    def test_racing_submits_of_one_text(self, floor: Floor) -> None:
        ready = threading.Barrier(4)
        errors: list[BaseException] = []

        def work() -> None:
            ready.wait()
            try:
                floor.submit()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not be there
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert (floor.count(StoredText), floor.count(Job)) == (1, 4)


class TestFinding:
    def test_by_id_name_and_last(self, floor: Floor) -> None:
        first, second = floor.submit("first"), floor.submit("第二")
        assert service.find(floor.store, str(first.id)) == first
        assert service.find(floor.store, "第二") == second
        assert service.find(floor.store, "@last") == second
        assert service.find(floor.store, "@last", owner="ann") == second

    @pytest.mark.parametrize("key", ["7", "99999999999999", "frist", "@first", ""])
    def test_unknown(self, floor: Floor, key: str) -> None:
        floor.submit("first")
        with pytest.raises(UnknownNameError, match="known: first"):
            service.find(floor.store, key)

    def test_last_of_somebody_without_jobs(self, floor: Floor) -> None:
        floor.submit()
        with pytest.raises(UnknownNameError):
            service.find(floor.store, "@last", owner="bob")

    def test_newest_first(self, floor: Floor) -> None:
        ids = [floor.submit().id for _ in range(4)]
        assert [job.id for job in service.jobs(floor.store)] == ids[::-1]
        assert [job.id for job in service.jobs(floor.store, limit=2)] == ids[:1:-1]
        assert service.jobs(floor.store, owner="bob") == []
        floor.claim(ids[1])
        running = service.jobs(floor.store, states=[State.RUNNING])
        assert [job.id for job in running] == [ids[1]]

    @pytest.mark.parametrize(
        "function",
        [
            service.details,
            service.remove,
            lambda store, job_id: service.request_cancel(store, job_id, "ann"),
            lambda store, job_id: service.resume(store, job_id, "ann"),
        ],
    )
    def test_unknown_ids(self, floor: Floor, function) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(UnknownNameError, match="no job named '7'"):
            function(floor.store, 7)


class TestRequests:
    def test_waiting_jobs_flip_at_once(self, floor: Floor) -> None:
        job_id = floor.submit().id
        assert service.request_pause(floor.store, job_id, "ann") is State.PAUSED
        assert service.request_pause(floor.store, job_id, "ann") is State.PAUSED
        assert service.request_cancel(floor.store, job_id, "ann") is State.CANCELLED
        assert service.request_cancel(floor.store, job_id, "ann") is State.CANCELLED
        assert len(service.details(floor.store, job_id).events) == 3

    def test_the_stronger_request_wins(self, floor: Floor) -> None:
        claim = floor.running()

        def asked() -> Request:
            return worker_api.peek_request(floor.store, claim)

        assert asked() is Request.NONE
        service.request_yield(floor.store, claim.job_id, "ann")
        assert asked() is Request.YIELD
        service.request_cancel(floor.store, claim.job_id, "bob")
        assert asked() is Request.CANCEL
        service.request_pause(floor.store, claim.job_id, "ann")
        assert asked() is Request.CANCEL
        assert worker_api.renew(floor.store, claim) is Request.CANCEL
        assert floor.job(claim.job_id).state_shown == "cancelling"
        messages = [event.message for event in floor.details(claim).events]
        assert messages[-2:] == ["yield requested", "cancel requested"]

    def test_a_job_whose_worker_is_gone_is_stopped_at_once(self, floor: Floor) -> None:
        claim = floor.running()
        floor.expire(claim)
        assert service.request_pause(floor.store, claim.job_id, "ann") is State.PAUSED
        shown = floor.details(claim)
        assert shown.attempts[0].outcome is Outcome.LEASE_EXPIRED
        assert "its worker is gone: the last checkpoint stands" in shown.events[-1].message

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
    def test_ended_jobs_have_nothing_to_cancel(self, floor: Floor, state: State) -> None:
        claim = floor.in_state(state)
        with pytest.raises(JobStateError, match=f"is already {state}; nothing to cancel"):
            service.request_cancel(floor.store, claim.job_id, "ann")


class TestResumeAndRetry:
    def test_resume(self, floor: Floor) -> None:
        claim = floor.in_state(State.PAUSED)
        assert service.resume(floor.store, claim.job_id, "ann", inexact=True).state is State.QUEUED
        assert floor.claim(claim.job_id).inexact

    def test_a_finished_job_goes_on_with_more_epochs(self, floor: Floor) -> None:
        claim = floor.running()
        worker_api.record(floor.store, claim, metrics=[metric(10)])
        worker_api.finish(floor.store, claim, State.SUCCEEDED, message="done", result={"a": 1})
        job = service.resume(floor.store, claim.job_id, "ann", epochs=80)
        assert (job.state, job.epochs, job.finished_at) == (State.QUEUED, 80, None)
        assert floor.claim().config["training"]["epochs"] == 80
        assert floor.details(claim).result is None
        assert len(service.curve(floor.store, claim.job_id)) == 1

    def test_more_epochs_must_be_more(self, floor: Floor) -> None:
        claim = floor.in_state(State.SUCCEEDED)
        with pytest.raises(JobStateError, match="finished its 50 epochs; give more"):
            service.resume(floor.store, claim.job_id, "ann")
        with pytest.raises(ConfigError, match=r"training.epochs = 50 .* at least 51"):
            service.resume(floor.store, claim.job_id, "ann", epochs=50)

    @pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
    def test_retry(self, floor: Floor, state: State) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=10)
        worker_api.finish(floor.store, claim, state, message="x", error="it broke")
        with pytest.raises(JobStateError, match="versemill retry"):
            service.resume(floor.store, claim.job_id, "ann")
        job = service.retry(floor.store, claim.job_id, "ann")
        assert (job.state, job.error) == (State.QUEUED, None)
        assert worker_api.latest_checkpoint(floor.store, job.id) is not None

    def test_retry_from_scratch_forgets(self, floor: Floor) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=10)
        worker_api.record(
            floor.store,
            claim,
            progress=ProgressRow(step=10, epoch=1, train_perplexity=3.0),
            metrics=[metric(10)],
            lyrics=[lyric(10)],
        )
        worker_api.finish(floor.store, claim, State.FAILED, message="x")
        job = service.retry(floor.store, claim.job_id, "ann", from_scratch=True)
        assert (job.step, job.epoch, job.train_perplexity) == (0, 0, None)
        assert worker_api.latest_checkpoint(floor.store, job.id) is None
        assert [floor.count(t) for t in (Metric, LyricText, CheckpointChunk)] == [0, 0, 0]

    @pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.SUCCEEDED])
    def test_only_what_failed_can_be_retried(self, floor: Floor, state: State) -> None:
        claim = floor.in_state(state)
        with pytest.raises(JobStateError, match="only failed and cancelled"):
            service.retry(floor.store, claim.job_id, "ann")


class TestRemove:
    def test_everything_goes(self, floor: Floor) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=10)
        worker_api.record(floor.store, claim, metrics=[metric(10)], lyrics=[lyric(10)])
        with pytest.raises(JobStateError, match=f"versemill cancel {claim.job_id}"):
            service.remove(floor.store, claim.job_id)
        worker_api.finish(floor.store, claim, State.SUCCEEDED, message="done")
        service.remove(floor.store, claim.job_id)
        tables = (Job, Attempt, Event, Metric, LyricText, StoredCheckpoint, CheckpointChunk)
        assert [floor.count(table) for table in (*tables, StoredText)] == [0] * 8

    def test_a_text_still_in_use_stays(self, floor: Floor) -> None:
        first, second = floor.submit().id, floor.submit().id
        service.remove(floor.store, first)
        assert floor.count(StoredText) == 1
        service.remove(floor.store, second)
        assert floor.count(StoredText) == 0

    def test_an_id_never_comes_back(self, floor: Floor) -> None:
        gone = floor.submit().id
        service.remove(floor.store, gone)
        assert floor.submit().id > gone


class TestJSON:
    def test_every_view(self, floor: Floor) -> None:
        claim = floor.running()
        floor.checkpoint(claim, step=10, is_last=True, is_best=True)
        worker_api.record(
            floor.store,
            claim,
            progress=ProgressRow(step=10, epoch=1, train_perplexity=float("inf")),
            metrics=[metric(10, valid=None)],
            lyrics=[lyric(10)],
            output="hello",
        )
        service.add_corpus(floor.store, "mine", OTHER, "a.txt", "ann")
        job_id = claim.job_id
        views = [
            *service.jobs(floor.store),
            service.details(floor.store, job_id),
            *service.curve(floor.store, job_id),
            *service.lyrics(floor.store, job_id, step=10),
            *service.output(floor.store, job_id),
            *service.live_workers(floor.store),
            *service.list_corpora(floor.store),
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

    def test_lyrics_of_a_step(self, floor: Floor) -> None:
        claim = floor.running()
        worker_api.record(floor.store, claim, lyrics=[lyric(10), lyric(20)])
        assert [t.step for t in service.lyrics(floor.store, claim.job_id)] == [10, 20]
        assert [t.step for t in service.lyrics(floor.store, claim.job_id, step=20)] == [20]
