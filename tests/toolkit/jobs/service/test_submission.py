"""Queueing jobs, on both databases."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from people import ANN
from versemill.errors import ConfigError
from versemill.jobs import service
from versemill.jobs.notices import BrokerAway
from versemill.jobs.service import Submission
from versemill.jobs.states import Request, State
from versemill.jobs.storage.tables import (
    Job,
    StoredText,
)
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from job_queue import JobQueue

OTHER = Text(("another\n",))


class TestSubmit:
    def test_what_is_stored(self, queue: JobQueue) -> None:
        job = queue.submit()
        assert job == queue.job(job.id)
        assert (job.owner, job.corpus, job.cell, job.recipe) == (
            "ann", "starter-zh", "gru", "default"
        )  # fmt: skip
        assert (job.state, job.request, job.epochs) == (State.QUEUED, Request.NONE, 50)
        shown = service.details(queue.store, job.id)
        assert shown.config["training"]["epochs"] == 50
        assert [event.message for event in shown.events] == ["submitted"]

    def test_wakes_after_the_commit(self, queue: JobQueue) -> None:
        from job_queue import CONFIG, TEXT

        seen: list[int] = []
        submission = Submission(config=CONFIG, text=TEXT, plugins=[])
        service.enqueue(
            queue.store, submission, ANN, wake=lambda: seen.append(len(service.jobs(queue.store)))
        )
        assert seen == [1]

    def test_tells_of_a_broker_that_is_away(self, queue: JobQueue) -> None:
        from job_queue import CONFIG, TEXT

        away = BrokerAway(reason="it did not answer")
        submission = Submission(config=CONFIG, text=TEXT, plugins=[])
        queued = service.enqueue(queue.store, submission, ANN, wake=lambda: away)
        assert queued.notices == (away,)
        assert queue.job(queued.job.id).state == "queued"

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
    def test_automatic_names(self, queue: JobQueue, corpus: str, stem: str) -> None:
        job = queue.submit(corpus=corpus)
        assert job.name == f"{stem}-gru-{job.id}"

    def test_an_automatic_name_already_taken(self, queue: JobQueue) -> None:
        first = queue.submit()
        queue.submit(f"starter-zh-gru-{first.id + 2}")
        assert queue.submit().name.startswith(f"starter-zh-gru-{first.id + 2}-")

    def test_names_are_unique(self, queue: JobQueue) -> None:
        queue.submit("mine")
        with pytest.raises(ConfigError, match="name = 'mine' is not allowed: a name that no other"):
            queue.submit("mine")
        assert queue.count(Job) == 1

    @pytest.mark.parametrize("name", ["", "12", "@last", "-x", "a b", "a/b", "x" * 101, "a\nb"])
    def test_names_that_could_be_misread(self, queue: JobQueue, name: str) -> None:
        with pytest.raises(ConfigError, match="1 to 100 characters"):
            queue.submit(name)

    def test_texts_are_stored_once(self, queue: JobQueue) -> None:
        for _ in range(3):
            queue.submit()
        queue.submit(text=OTHER)
        assert queue.count(StoredText) == 2

    def test_racing_submits_of_one_text(self, queue: JobQueue) -> None:
        ready = threading.Barrier(4)
        errors: list[BaseException] = []

        def work() -> None:
            ready.wait()
            try:
                queue.submit()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not be there
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert (queue.count(StoredText), queue.count(Job)) == (1, 4)
