"""Texts by content hash and corpora by name, on both databases."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update

from job_queue import JobQueue
from people import ANN, BOB
from versemill.errors import ConfigError, JobStateError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import corpora
from versemill.jobs.states import Role, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job, StoredText
from versemill.jobs.storage.unit_of_work import Store
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = Text(("another\n",))
LONG = Text(("a long line\n" * 30_000,))


def test_add_list_read_remove(queue: JobQueue) -> None:
    added = service.add_corpus(queue.store, "歌词", OTHER, "songs.txt", ANN)
    corpus = added.corpus
    assert (corpus.name, corpus.characters, corpus.songs) == ("歌词", 8, 1)
    assert (corpus.source, corpus.added_by) == ("songs.txt", "ann")
    assert (added.replaced, added.kept_by) == (False, 0)
    assert service.list_corpora(queue.store) == [corpus]
    assert service.corpus_text(queue.store, "歌词") == OTHER
    assert service.text_by_hash(queue.store, OTHER.content_hash) == OTHER
    service.remove_corpus(queue.store, "歌词", ANN)
    assert service.corpus_text(queue.store, "歌词") is None
    assert queue.count(StoredText) == 0


def test_the_same_again_changes_nothing(queue: JobQueue) -> None:
    first = service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN)
    assert service.add_corpus(queue.store, "mine", OTHER, "b.txt", BOB) == first
    assert queue.count(StoredText) == 1


def test_another_text_takes_the_name_and_jobs_keep_theirs(queue: JobQueue) -> None:
    service.add_user(queue.store, "bob", Role.ADMIN, ANN)
    newer = Text(("newer\n", "and more\n"))
    first = service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN).corpus
    job = queue.submit(text=OTHER, corpus="mine")
    queue.submit(text=OTHER, corpus="./a.txt")
    added = service.add_corpus(queue.store, "mine", newer, "b.txt", BOB)
    assert (added.replaced, added.kept_by) == (True, 1)
    assert (added.corpus.source, added.corpus.added_by) == ("b.txt", "bob")
    assert added.corpus.added_at > first.added_at
    assert service.list_corpora(queue.store) == [added.corpus]
    assert service.corpus_text(queue.store, "mine") == newer
    assert worker_api.load_text(queue.store, queue.claim(job.id)) == OTHER


def test_a_replaced_text_that_no_job_has_is_gone(queue: JobQueue) -> None:
    service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN)
    added = service.add_corpus(queue.store, "mine", Text(("newer\n",)), "b.txt", ANN)
    assert (added.replaced, added.kept_by) == (True, 0)
    assert queue.count(StoredText) == 1


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65])
def test_names(queue: JobQueue, name: str) -> None:
    with pytest.raises(ConfigError, match="corpus name"):
        service.add_corpus(queue.store, name, OTHER, "a.txt", ANN)


def test_unknown(queue: JobQueue) -> None:
    assert service.corpus_text(queue.store, "nope") is None
    with pytest.raises(UnknownNameError):
        service.remove_corpus(queue.store, "nope", ANN)
    with pytest.raises(UnknownNameError):
        service.text_by_hash(queue.store, "0" * 64)


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.PAUSED])
def test_jobs_that_are_not_over_need_their_corpus(queue: JobQueue, state: State) -> None:
    service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN)
    job = queue.submit("waits", text=OTHER, corpus="mine")
    if state is not State.QUEUED:
        claim = queue.claim(job.id)
        if state is State.PAUSED:
            worker_api.finish(queue.store, claim, state, message="for a test")
    with pytest.raises(JobStateError, match=rf"job {job.id} \(waits, {state}\)"):
        service.remove_corpus(queue.store, "mine", ANN)
    assert service.corpus_text(queue.store, "mine") == OTHER


def test_of_many_jobs_some_are_named(queue: JobQueue) -> None:
    service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN)
    ids = [queue.submit(text=OTHER, corpus="mine").id for _ in range(7)]
    with pytest.raises(JobStateError, match="and 2 more") as caught:
        service.remove_corpus(queue.store, "mine", ANN)
    assert f"job {ids[4]} (" in str(caught.value)
    assert f"job {ids[5]} (" not in str(caught.value)


def test_jobs_with_another_text_or_corpus_do_not_need_it(queue: JobQueue) -> None:
    service.add_corpus(queue.store, "mine", Text(("older\n",)), "a.txt", ANN)
    queue.submit(text=Text(("older\n",)), corpus="mine")
    queue.submit(text=OTHER, corpus="./a.txt")
    service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN)
    service.remove_corpus(queue.store, "mine", ANN)
    assert service.list_corpora(queue.store) == []


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_jobs_that_are_over_keep_the_text_of_a_removed_corpus(
    queue: JobQueue, state: State
) -> None:
    service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN)
    job = queue.submit(text=OTHER, corpus="mine")
    worker_api.finish(queue.store, queue.claim(job.id), state, message="for a test")
    service.remove_corpus(queue.store, "mine", ANN)
    assert service.text_by_hash(queue.store, OTHER.content_hash) == OTHER


def at_once(*works: Callable[[], object]) -> list[BaseException]:
    """Does all of it at the same time; returns what was raised."""
    ready = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        ready.wait()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the caller judges
            errors.append(error)

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("length", [1, 30_000], ids=["short", "long"])
def test_a_name_added_by_several_at_once_stands_for_one_text(queue: JobQueue, length: int) -> None:
    texts = [Text((f"text {number}\n" * length,)) for number in range(3)]
    added: list[bool] = []

    def adding(text: Text) -> Callable[[], None]:
        def add() -> None:
            added.append(service.add_corpus(queue.store, "mine", text, "a.txt", ANN).replaced)

        return add

    for _ in range(3):
        added.clear()
        assert at_once(*map(adding, texts)) == []
        assert service.corpus_text(queue.store, "mine") in texts
        assert queue.count(StoredText) == 1
        assert sorted(added) == [False, True, True]
        service.remove_corpus(queue.store, "mine", ANN)
        assert queue.count(StoredText) == 0


@pytest.mark.parametrize("text", [OTHER, LONG], ids=["short", "long"])
def test_a_job_submitted_while_its_corpus_is_removed_keeps_its_text(
    queue: JobQueue, text: Text
) -> None:
    for number in range(6):
        service.add_corpus(queue.store, "mine", text, "a.txt", ANN)
        errors = at_once(
            lambda: service.remove_corpus(queue.store, "mine", ANN),
            lambda: queue.submit(text=text, corpus="mine"),
        )
        job = service.find(queue.store, "@last")
        assert queue.count(Job) == number + 1
        claim = queue.claim(job.id)
        assert worker_api.load_text(queue.store, claim) == text
        assert [type(error) for error in errors] in ([], [JobStateError])
        assert (service.corpus_text(queue.store, "mine") is None) is (errors == [])
        worker_api.finish(queue.store, claim, State.SUCCEEDED, message="for a test")


def test_nobody_waits_while_a_long_text_is_stored(postgres_url: str) -> None:
    queue = JobQueue(Store.open(postgres_url, connections=4))
    adding = threading.Thread(
        target=service.add_corpus, args=[queue.store, "mine", LONG, "a.txt", ANN]
    )
    with queue.store.unit_of_work() as uow:
        uow.lock("texts", shared=True)  # as a submit does
        adding.start()
        give_up_at = time.monotonic() + 30
        while not queue.count(StoredText):
            assert time.monotonic() < give_up_at, "it is stored only once it has the lock"
            time.sleep(0.01)
        assert service.list_corpora(queue.store) == []
    adding.join()
    assert service.corpus_text(queue.store, "mine") == LONG
    queue.store.close()


def test_what_was_stored_ahead_and_dropped_is_stored_again(queue: JobQueue) -> None:
    content_hash = corpora.store_text_early(queue.store, LONG)
    with queue.store.unit_of_work() as uow:
        uow.execute(delete(StoredText))
        assert corpora.keep_text(uow, LONG, content_hash) == content_hash == LONG.content_hash
        uow.commit()
    assert service.text_by_hash(queue.store, content_hash) == LONG


def test_what_was_stored_ahead_for_nothing_goes_with_the_next_that_goes(queue: JobQueue) -> None:
    queue.submit("taken")
    with pytest.raises(ConfigError, match="no other job has"):
        queue.submit("taken", text=LONG)
    for stored in (3, 2):
        service.add_corpus(queue.store, "mine", OTHER, "a.txt", ANN)
        assert queue.count(StoredText) == 3
        service.remove_corpus(queue.store, "mine", ANN)
        assert queue.count(StoredText) == stored - 1
        with queue.store.unit_of_work() as uow:
            uow.execute(update(StoredText).values(created_at=db_now(-4000)))
            uow.commit()
