"""The thread of a worker that sends messages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from job_queue import JobQueue
from people import ANN
from sinks import HTTPSink
from versemill.errors import DatabaseError
from versemill.jobs import service
from versemill.jobs.states import State
from versemill.jobs.storage.unit_of_work import Store
from versemill_workers import messenger
from versemill_workers.messenger import Messenger

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def queue(sqlite_url: str) -> Iterator[JobQueue]:
    store = Store.open(sqlite_url, connections=2)
    yield JobQueue(store)
    store.close()


@pytest.fixture
def http() -> Iterator[HTTPSink]:
    with HTTPSink() as sink:
        yield sink


def test_sends_while_the_worker_works(
    queue: JobQueue, http: HTTPSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messenger, "LOOK_SECONDS", 0.01)
    service.subscribe(queue.store, http.url, ANN)
    sent = threading.Event()
    send_due = service.send_due

    def noted(store: Store) -> object:
        message = send_due(store)
        if message is not None:
            sent.set()
        return message

    monkeypatch.setattr(service, "send_due", noted)
    thread = Messenger(queue.store)
    thread.start()
    queue.in_state(State.SUCCEEDED)
    assert sent.wait(60)
    thread.stop()
    assert [got["title"].rpartition(" ")[2] for got in http.received] == ["succeeded"]


def test_sends_what_is_due_as_the_worker_ends(queue: JobQueue, http: HTTPSink) -> None:
    thread = Messenger(queue.store)
    thread.start()
    service.subscribe(queue.store, http.url, ANN)
    queue.in_state(State.FAILED)
    thread.stop()
    assert [got["title"].rpartition(" ")[2] for got in http.received] == ["failed"]


def test_goes_on_after_trouble_with_the_database(
    queue: JobQueue, http: HTTPSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messenger, "LOOK_SECONDS", 0.01)
    looks = threading.Semaphore(0)

    def broken(_: Store) -> None:
        looks.release()
        raise DatabaseError("it went away")

    monkeypatch.setattr(service, "send_due", broken)
    thread = Messenger(queue.store)
    thread.start()
    for _ in range(3):
        assert looks.acquire(timeout=60)
    thread.stop()
