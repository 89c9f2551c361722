"""Messages about jobs: recorded with the event, sent once; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select, update

from people import ANN, BOB
from versemill.errors import FencedError
from versemill.jobs import service
from versemill.jobs.execution import deliveries, worker_api
from versemill.jobs.states import FailureClass, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Delivery, Dependency, Subscription, User

if TYPE_CHECKING:
    from collections.abc import Sequence

    from job_queue import JobQueue
    from versemill.jobs.storage.unit_of_work import Store


def subscribe(store: Store, *events: str, owner: str = "ann") -> None:
    with store.unit_of_work() as uow:
        owner_id = uow.session.scalars(select(User.id).where(User.name == owner)).one()
        row = {"owner_id": owner_id, "url": "json://example.org/", "events": list(events)}
        uow.execute(insert(Subscription).values(row))
        uow.commit()


def recorded(store: Store) -> Sequence[tuple[str, str, str]]:
    query = select(Delivery.event, Delivery.title, Delivery.body).order_by(Delivery.id)
    with store.reading() as session:
        return [tuple(row) for row in session.execute(query)]


def states(store: Store) -> list[tuple[str, int]]:
    with store.reading() as session:
        return [tuple(row) for row in session.execute(select(Delivery.state, Delivery.tries))]


def make_due(store: Store) -> None:
    with store.unit_of_work() as uow:
        uow.execute(update(Delivery).values(next_at=db_now(-1)))
        uow.commit()


@pytest.fixture
def told(queue: JobQueue) -> JobQueue:
    """A queue with one message that is due."""
    claim = queue.running()
    subscribe(queue.store, "ended")
    worker_api.finish(queue.store, claim, State.SUCCEEDED, message="it is done")
    return queue


class TestRecording:
    @pytest.mark.parametrize(
        ("end", "events", "told_of"),
        [
            (State.SUCCEEDED, ("ended",), ["ended"]),
            (State.SUCCEEDED, ("failed", "waiting", "preempted"), []),
            (State.FAILED, ("ended",), ["ended"]),
            (State.FAILED, ("ended", "failed"), ["failed"]),
            (State.CANCELLED, ("ended", "failed"), ["ended"]),
            (State.PAUSED, deliveries.TOLD, []),
            (State.QUEUED, deliveries.TOLD, []),
        ],
    )
    def test_of_ends(
        self, queue: JobQueue, end: State, events: tuple[str, ...], told_of: list[str]
    ) -> None:
        claim = queue.running()
        subscribe(queue.store, *events)
        worker_api.finish(queue.store, claim, end, message="so it went")
        assert [event for event, *_ in recorded(queue.store)] == told_of

    def test_says_which_job_and_what(self, told: JobQueue) -> None:
        name = told.job(1).name
        ((_, title, body),) = recorded(told.store)
        assert title == f"job 1 ({name}) succeeded"
        assert body == f"job 1 ({name}) of ann: it is done"

    def test_only_for_the_owner(self, queue: JobQueue) -> None:
        claim = queue.running()
        service.subscriptions(queue.store, BOB)
        with queue.store.unit_of_work() as uow:
            uow.execute(insert(User).values(name="bob"))
            uow.commit()
        subscribe(queue.store, *deliveries.TOLD, owner="bob")
        worker_api.finish(queue.store, claim, State.FAILED, message="no")
        assert recorded(queue.store) == []

    def test_is_undone_with_what_it_tells(self, queue: JobQueue) -> None:
        claim = queue.running()
        subscribe(queue.store, *deliveries.TOLD)
        queue.requeue(claim)
        with pytest.raises(FencedError):
            worker_api.finish(queue.store, claim, State.SUCCEEDED, message="too late")
        assert recorded(queue.store) == []

    def test_of_what_is_given_up(self, queue: JobQueue) -> None:
        claim = queue.running()
        subscribe(queue.store, "failed")
        assert queue.fail(claim, FailureClass.USER) is State.FAILED
        assert [event for event, *_ in recorded(queue.store)] == ["failed"]

    def test_of_a_job_that_waits_for_one_that_failed(self, queue: JobQueue) -> None:
        claim, waits = queue.running(), queue.submit()
        with queue.store.unit_of_work() as uow:
            row = {"job_id": waits.id, "after_id": claim.job_id, "condition": "succeeded"}
            uow.execute(insert(Dependency).values(row))
            uow.commit()
        subscribe(queue.store, "waiting")
        worker_api.finish(queue.store, claim, State.FAILED, message="no")
        ((event, _, body),) = recorded(queue.store)
        assert event == "waiting"
        assert f"job {claim.job_id}, which it waits for, failed" in body

    def test_of_a_job_that_gives_way(self, queue: JobQueue) -> None:
        claim = queue.running()
        subscribe(queue.store, "preempted")
        urgent = queue.submit()
        queue._set(claim, preempted_for=urgent.id)
        worker_api.finish(queue.store, claim, State.QUEUED, message="handed over")
        ((event, title, body),) = recorded(queue.store)
        assert (event, title.endswith("was pre-empted")) == ("preempted", True)
        assert f"its place goes to urgent job {urgent.id}" in body


class TestSending:
    def test_is_taken_by_one_of_several_workers(self, told: JobQueue) -> None:
        with ThreadPoolExecutor(4) as pool:
            taken = list(pool.map(deliveries.take_message, [told.store] * 4))
        assert len([message for message in taken if message is not None]) == 1
        assert states(told.store) == [("sending", 1)]

    def test_what_was_sent_is_not_due(self, told: JobQueue) -> None:
        message = deliveries.take_message(told.store)
        assert message is not None
        deliveries.message_sent(told.store, message)
        make_due(told.store)
        assert deliveries.take_message(told.store) is None
        assert deliveries.give_up_lost_messages(told.store) == 0
        assert states(told.store) == [("sent", 1)]

    def test_what_is_refused_is_sent_again_later_and_not_for_ever(self, told: JobQueue) -> None:
        for tries in range(1, deliveries.MOST_TRIES + 1):
            message = deliveries.take_message(told.store)
            assert message is not None
            deliveries.message_refused(told.store, message, "code 500")
            assert deliveries.take_message(told.store) is None  # not at once
            last = tries == deliveries.MOST_TRIES
            assert states(told.store) == [("failed" if last else "recorded", tries)]
            make_due(told.store)
        assert deliveries.take_message(told.store) is None

    def test_what_a_dead_worker_was_sending_is_not_sent_again(self, told: JobQueue) -> None:
        assert deliveries.take_message(told.store) is not None
        assert deliveries.give_up_lost_messages(told.store) == 0  # it may be alive
        make_due(told.store)
        assert deliveries.give_up_lost_messages(told.store) == 1
        assert states(told.store) == [("failed", 1)]
        assert deliveries.take_message(told.store) is None
        (view,) = service.subscriptions(told.store, ANN)
        assert (view.failed, view.last_error) == (
            1,
            "the worker that sent it ended meanwhile: it is not known whether it arrived",
        )
