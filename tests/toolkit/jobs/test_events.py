"""The log of a job: every act adds to it, none changes what is there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.states import FailureClass, Priority, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Event

if TYPE_CHECKING:
    from job_queue import JobQueue

READING = {
    *("list_corpora", "corpus_text", "curve", "details", "find", "jobs", "live_workers", "lyrics"),
    *("output", "text_by_hash", "thinned_curve", "waiting"),
    *("array_named", "devices_in_use", "find_jobs", "find_one", "folded", "job_table"),
    *("list_users", "overview", "queue_view", "recent_arrays", "reservations", "subscriptions"),
    *("find_text", "named_text", "offered_corpora", "prepare"),
    *("drained_by", "latest_checkpoint", "load_text", "read_request", "read_checkpoint"),
    *("resumable_checkpoints", "runnable"),
}
"""Functions of the two fronts that write nothing."""

ELSEWHERE = {
    *("add_corpus", "add_corpus_from_path", "remove_corpus", "remove"),
    *("register_worker", "heartbeat", "forget_worker"),
    *("add_user", "set_disabled", "set_limits", "set_role", "reserve", "cancel_reservation"),
    *("subscribe", "unsubscribe", "send_due", "send_test", "record_waiting"),
}
"""Those that have to do with no job, or leave none."""

Act = Callable[..., Any]


def life(queue: JobQueue) -> Iterator[Act]:
    """One job to which everything happens; yields each function that has just been called."""
    store = queue.store
    yield from _submitted(queue)
    job_id = service.find(store, "one").id
    service.request_pause(store, job_id, ANN)
    yield service.request_pause
    service.resume(store, job_id, ANN)
    yield service.resume
    service.request_pause(store, job_id, ANN)
    service.resume_or_retry(store, job_id, ANN)
    yield service.resume_or_retry
    service.request_cancel(store, job_id, ANN)
    yield service.request_cancel
    service.retry(store, job_id, ANN, from_scratch=True)
    yield service.retry
    claim = queue.claim(job_id)
    yield worker_api.claim
    yield from _attempt(queue, claim)
    yield from _asked_to_leave(queue, claim)
    service.request_yield(store, job_id, ANN)
    yield service.request_yield
    service.drain(store, claim.worker_name, ANN)
    yield service.drain
    queue.fail(claim, FailureClass.STALLED)
    yield worker_api.fail_or_retry
    claim = queue.claim(job_id)
    worker_api.hand_back(store, claim, message="not here")
    yield worker_api.hand_back
    queue.skip_delay(claim)
    queue.expire(queue.claim(job_id))
    assert worker_api.sweep(store) == [job_id]
    yield worker_api.sweep
    worker_api.finish(
        store, queue.claim(job_id), State.FAILED, message="it failed", error="it failed"
    )
    yield worker_api.finish
    assert worker_api.free_checkpoints(store, 0)
    yield worker_api.free_checkpoints


def _submitted(queue: JobQueue) -> Iterator[Act]:
    sources = service.TextSources(limit=1 << 20)
    table = {"corpus": "starter-zh", "name": "one"}
    job_id = service.submit(queue.store, table, ANN, sources).job.id
    yield from (service.submit, service.enqueue)
    varied = [service.Varied(key="training.seed", values=[1, 2])]
    service.submit_array(queue.store, {"corpus": "starter-zh"}, varied, ANN, sources)
    yield service.submit_array
    service.set_priority(queue.store, job_id, Priority.HIGH, ANN)
    yield service.set_priority


def _attempt(queue: JobQueue, claim: worker_api.Claim) -> Iterator[Act]:
    store = queue.store
    worker_api.renew(store, claim)
    yield worker_api.renew
    worker_api.record(
        store, claim, progress=worker_api.ProgressRow(step=9, epoch=1), remarks=["no room"]
    )
    yield worker_api.record
    worker_api.remark(store, claim, "damaged")
    yield worker_api.remark
    damaged_store = queue.checkpoint(claim, step=10)
    yield from (worker_api.begin_checkpoint, worker_api.add_chunk, worker_api.complete_checkpoint)
    worker_api.discard_checkpoint(store, claim, damaged_store, "no checkpoint")
    yield worker_api.discard_checkpoint
    queue.checkpoint(claim, step=20)
    worker_api.rewind(store, claim, epoch=0, step=0)
    yield worker_api.rewind
    queue.checkpoint(claim, step=30)


def _asked_to_leave(queue: JobQueue, claim: worker_api.Claim) -> Iterator[Act]:
    store = queue.store
    queue.change(Attempt, Attempt.job_id == claim.job_id, started_at=db_now(-1000))
    urgent = queue.submit("urgent", row={"priority": Priority.URGENT}).id
    assert worker_api.preempt(store) == claim.job_id
    yield worker_api.preempt
    worker_api.decline_preemption(store, claim, "no checkpoint")
    yield worker_api.decline_preemption
    service.request_cancel(store, urgent, ANN)
    kept, _ = service.reserve(
        store, claim.worker_name, ANN, starts_in=0.0, ends_in=60.0, label="course"
    )
    assert worker_api.enforce_reservations(store) == [claim.job_id]
    yield worker_api.enforce_reservations
    service.cancel_reservation(store, kept.id, ANN)
    worker_api.enforce_reservations(store)


def log(queue: JobQueue) -> list[tuple[Any, ...]]:
    """Every column of every event, in the order in which they were written."""
    with queue.store.reading() as session:
        return [tuple(row) for row in session.execute(select(Event.__table__).order_by(Event.id))]


def test_whatever_happens_adds_to_the_log_and_changes_nothing_in_it(queue: JobQueue) -> None:
    written: list[tuple[Any, ...]] = []
    seen = set()
    for act in life(queue):
        now = log(queue)
        assert now[: len(written)] == written, act.__name__
        written = now
        seen.add(act.__name__)
    assert len(written) > 15
    assert seen == {*service.__all__, *worker_api.__all__} - READING - ELSEWHERE - _not_functions()


def test_only_the_whole_job_takes_its_log_along(queue: JobQueue) -> None:
    queue.submit("other")
    kept = log(queue)
    for _ in life(queue):
        pass
    one = service.find(queue.store, "one").id
    others = [row for row in log(queue) if row[1] != one]
    service.remove(queue.store, one, ANN)
    assert log(queue) == others
    assert others[: len(kept)] == kept


def test_every_move_says_who_and_why(queue: JobQueue) -> None:
    for _ in life(queue):
        pass
    events = service.details(queue.store, service.find(queue.store, "one").id).events
    moves = [event for event in events if event.to_state is not None]
    # Each begins where the one before has ended: no move without an event.
    for before, after in itertools.pairwise(moves):
        assert after.from_state is before.to_state
    assert moves[0].from_state is None
    assert moves[-1].to_state is State.FAILED
    assert all(event.actor and event.message for event in events)


def _not_functions() -> set[str]:
    names = {*service.__all__, *worker_api.__all__}
    return {name for name in names if name.isupper() or name[0].isupper()}
