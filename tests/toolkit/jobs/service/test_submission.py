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
        submission = Submission(config=CONFIG, text=TEXT, plugins=[])
        service.enqueue(
            floor.store, submission, ANN, wake=lambda: seen.append(len(service.jobs(floor.store)))
        )
        assert seen == [1]

    def test_tells_of_a_broker_that_is_away(self, floor: Floor) -> None:
        from jobs_floor import CONFIG, TEXT

        away = BrokerAway(reason="it did not answer")
        submission = Submission(config=CONFIG, text=TEXT, plugins=[])
        queued = service.enqueue(floor.store, submission, ANN, wake=lambda: away)
        assert queued.notices == (away,)
        assert floor.job(queued.job.id).state == "queued"

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
