"""Subscriptions, and messages that really arrive, on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from people import ANN, BOB
from sinks import HTTPSink
from versemill.errors import ConfigError, ForbiddenError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.devices import DeviceNeeds
from versemill.jobs.execution import worker_api
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Delivery, Job
from versemill.plugins.requirements import OfferedPlugin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from job_queue import JobQueue
    from versemill.jobs.storage.unit_of_work import Store


@pytest.fixture
def http() -> Iterator[HTTPSink]:
    with HTTPSink() as sink:
        yield sink


class TestSubscriptions:
    def test_show_no_secrets(self, store: Store) -> None:
        url = "json://me:word@example.org/hook"
        view = service.subscribe(store, url, ANN, events=["failed", "ended"])
        assert (view.receiver, view.events) == ("json://example.org/***", ("ended", "failed"))
        assert service.subscriptions(store, ANN) == [view]
        assert service.subscriptions(store, BOB) == []

    @pytest.mark.parametrize("events", [[], ["ended", "starts"]])
    def test_of_events_that_there_are(self, store: Store, events: list[str]) -> None:
        with pytest.raises(ConfigError, match="some of ended, failed, waiting, preempted"):
            service.subscribe(store, "json://example.org/", ANN, events=events)

    def test_are_ended_by_their_owner_or_an_admin(self, store: Store) -> None:
        first = service.subscribe(store, "json://example.org/", ANN)
        second = service.subscribe(store, "json://example.org/", BOB)
        with pytest.raises(ForbiddenError, match="bob may not remove subscription 1 of ann"):
            service.unsubscribe(store, first.id, BOB)
        with pytest.raises(ForbiddenError, match="bob may not test subscription 1 of ann"):
            service.send_test(store, first.id, BOB)
        service.unsubscribe(store, second.id, ANN)
        assert service.subscriptions(store, BOB) == []
        with pytest.raises(UnknownNameError, match="no subscription named '2'; known: 1"):
            service.unsubscribe(store, second.id, ANN)

    def test_are_tried_out(self, store: Store, http: HTTPSink) -> None:
        number = service.subscribe(store, http.url, ANN).id
        assert service.send_test(store, number, ANN).kind == "sent"
        http.status = 403
        assert service.send_test(store, number, ANN).why == "refused by the receiver (code 403)"
        assert [got["title"] for got in http.received] == ["Versemill: a test"] * 2


class TestSendDue:
    def test_refused_then_taken(self, queue: JobQueue, http: HTTPSink) -> None:
        service.subscribe(queue.store, http.url, ANN)
        queue.in_state(State.SUCCEEDED)
        http.status = 503
        assert service.send_due(queue.store) is not None
        assert service.send_due(queue.store) is None  # later
        (view,) = service.subscriptions(queue.store, ANN)
        assert (view.waiting, view.last_error) == (1, "refused by the receiver (code 503)")
        with queue.store.unit_of_work() as uow:
            uow.execute(update(Delivery).values(next_at=db_now(-1)))
            uow.commit()
        http.status = 200
        assert service.send_due(queue.store) is not None
        (view,) = service.subscriptions(queue.store, ANN)
        assert (view.sent, view.waiting, view.failed, view.last_error) == (1, 0, 0, None)
        assert len(http.received) == 2

    def test_not_again_where_nobody_knows(self, queue: JobQueue, http: HTTPSink) -> None:
        service.subscribe(queue.store, http.url, ANN)
        queue.in_state(State.SUCCEEDED)
        http.status = None
        assert service.send_due(queue.store) is not None
        (view,) = service.subscriptions(queue.store, ANN)
        assert (view.waiting, view.failed) == (0, 1)
        assert len(http.received) == 1


class TestWaiting:
    def test_is_told_once_for_what_the_owner_can_mend(self, queue: JobQueue) -> None:
        service.subscribe(queue.store, "json://example.org/", ANN)
        job = queue.submit()
        worker = queue.worker()
        lstm = OfferedPlugin(kind="cell", name="lstm", distribution="versemill", version="0")
        worker_api.heartbeat(queue.store, _with(worker, plugins=(lstm,), machines=["any"]))
        assert service.record_waiting(queue.store) == 0  # not at once
        with queue.store.unit_of_work() as uow:
            uow.execute(update(Job).values(queued_at=db_now(-120)))
            uow.commit()
        assert [service.record_waiting(queue.store) for _ in range(2)] == [1, 0]
        with queue.store.reading() as session:
            (message,) = session.scalars(select(Delivery.body))
        assert message.startswith(f"job {job.id} ({job.name}) of ann: needs cell 'gru' from")

    def test_is_told_where_no_worker_has_the_label(self, queue: JobQueue) -> None:
        service.subscribe(queue.store, "json://example.org/", ANN)
        queue.submit()
        worker = queue.worker()
        worker_api.heartbeat(queue.store, _with(worker, plugins=None, machines=["any"]))
        with queue.store.unit_of_work() as uow:
            digest = keep_requirements(uow, (), DeviceNeeds(labels=("attic",)))
            uow.execute(update(Job).values(queued_at=db_now(-120), requirements=digest))
            uow.commit()
        assert service.record_waiting(queue.store) == 1
        with queue.store.reading() as session:
            (message,) = session.scalars(select(Delivery.body))
        assert "no worker can run this" in message
        assert "attic" in message

    def test_is_not_told_where_a_worker_is_all_that_is_missing(self, queue: JobQueue) -> None:
        service.subscribe(queue.store, "json://example.org/", ANN)
        queue.submit()
        with queue.store.unit_of_work() as uow:
            uow.execute(update(Job).values(queued_at=db_now(-120)))
            uow.commit()
        assert service.record_waiting(queue.store) == 0


def _with(worker: worker_api.WorkerRecord, **changed: object) -> worker_api.WorkerRecord:
    from dataclasses import replace

    return replace(worker, **changed)  # type: ignore[arg-type]
