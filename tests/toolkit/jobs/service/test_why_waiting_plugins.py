"""A job goes to workers that have its plugins in a version that will do, and says why it waits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from job_queue import CONFIG, TEXT
from people import ANN
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.notices import PluginsMissing, WorkersBusy
from versemill.jobs.service import Submission
from versemill.jobs.states import State
from versemill.jobs.storage.tables import StoredRequirements
from versemill.plugins.record import PluginRecord
from versemill.plugins.requirements import OfferedPlugin, exactly

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord
    from versemill.jobs.views import JobView


def record(version: str, *, kind: str = "cell", name: str = "x") -> PluginRecord:
    return PluginRecord(kind=kind, name=name, distribution="dist-y", version=version)


CORPUS = record("9", kind="corpus", name="songs")
HOT = record("2.0", kind="decoder", name="hot")


def submitted(queue: JobQueue, *plugins: dict[str, Any]) -> JobView:
    submission = Submission(config=CONFIG, text=TEXT, plugins=plugins)
    return service.enqueue(queue.store, submission, ANN).job


def equipped(queue: JobQueue, *versions: str, hot: str = "2.0") -> WorkerRecord:
    """A worker that has cell `x` from dist-y in these versions, and a decoder."""
    cells = tuple(
        OfferedPlugin(kind="cell", name="x", distribution="dist-y", version=version)
        for version in versions
    )
    decoder = OfferedPlugin(kind="decoder", name="hot", distribution="dist-y", version=hot)
    worker = replace(queue.worker(), plugins=(*cells, decoder))
    worker_api.heartbeat(queue.store, worker)
    return worker


def claimed(queue: JobQueue, worker: WorkerRecord) -> Claim | None:
    found = worker_api.claim(queue.store, worker)
    assert worker_api.runnable(queue.store, worker) in {False, found is not None}
    return found


def left(queue: JobQueue, submitted_with: str, made_with: str) -> Claim:
    """A job handed over after a checkpoint made with that version."""
    submitted(queue, record(submitted_with), HOT)
    claim = claimed(queue, equipped(queue, made_with))
    assert claim is not None
    queue.checkpoint(claim, step=20, made_with=[record(made_with)])
    worker_api.finish(queue.store, claim, State.QUEUED, message="handed over")
    return claim


def paused(queue: JobQueue, claim: Claim) -> int:
    service.request_pause(queue.store, claim.job_id, ANN)
    return claim.job_id


def alone(queue: JobQueue, *versions: str) -> WorkerRecord:
    """The same worker as the only one that is alive."""
    for view in service.live_workers(queue.store):
        gone = worker_api.WorkerRecord(id=view.id, name="", host="", pid=0, slots=1, version="")
        worker_api.forget_worker(queue.store, gone)
    return equipped(queue, *versions)


@pytest.mark.parametrize(("has", "takes"), [("1.2", True), ("1.10", True), ("1.1", False)])
def test_a_new_job_goes_to_its_version_or_a_later_one(
    queue: JobQueue, has: str, *, takes: bool
) -> None:
    submitted(queue, CORPUS, record("1.2"))
    assert (claimed(queue, equipped(queue, has)) is not None) is takes


def test_it_is_left_by_workers_without_its_plugin(queue: JobQueue) -> None:
    submitted(queue, record("1.2"), HOT)
    assert claimed(queue, equipped(queue)) is None
    assert claimed(queue, equipped(queue, "1.2", hot="1.9")) is None
    assert claimed(queue, equipped(queue, "1.2", hot="2.1")) is not None


def test_the_claim_tells_what_it_needs(queue: JobQueue) -> None:
    submitted(queue, CORPUS, record("1.2"))
    claim = claimed(queue, equipped(queue, "1.3"))
    assert claim is not None
    assert [wanted.version for wanted in claim.requirements] == ["1.2"]
    assert claim.accepted_by is None


def test_order_is_that_of_submission_whatever_is_needed(queue: JobQueue) -> None:
    needs = [[record("1.2")], [], [HOT], [record("9")], [record("1.2"), HOT], [record("1.2")]]
    ids = [submitted(queue, *plugins).id for plugins in needs]
    worker = equipped(queue, "1.2")
    found = [claimed(queue, worker) for _ in range(6)]
    assert [claim and claim.job_id for claim in found] == [*ids[:3], *ids[4:], None]


def test_equal_needs_are_stored_once(queue: JobQueue) -> None:
    for _ in range(3):
        submitted(queue, CORPUS, record("1.2"))
    assert queue.count(StoredRequirements) == 1


def test_a_worker_that_does_not_know_yet_takes_any(queue: JobQueue) -> None:
    submitted(queue, record("1.2"))
    assert worker_api.claim(queue.store, queue.worker()) is not None


def test_a_job_of_before_goes_anywhere(queue: JobQueue) -> None:
    submitted(queue)
    assert claimed(queue, equipped(queue)) is not None


def test_a_checkpoint_locks_the_version_it_was_made_with(queue: JobQueue) -> None:
    left(queue, "1.2", "1.3")
    assert claimed(queue, equipped(queue, "1.2")) is None
    assert claimed(queue, equipped(queue, "1.4")) is None
    assert claimed(queue, equipped(queue, "1.3", hot="2.1")) is not None


def test_nothing_is_locked_once_it_begins_anew(queue: JobQueue) -> None:
    job_id = left(queue, "1.2", "1.3").job_id
    service.request_cancel(queue.store, job_id, ANN)
    service.retry(queue.store, job_id, ANN, from_scratch=True)
    claim = claimed(queue, equipped(queue, "1.4"))
    assert claim is not None
    queue.checkpoint(claim, step=20, made_with=[record("1.4")])
    worker_api.rewind(queue.store, claim, epoch=0, step=0)  # every checkpoint was damaged, say
    worker_api.finish(queue.store, claim, State.QUEUED, message="handed over")
    assert claimed(queue, equipped(queue, "1.2")) is not None


class TestAccepting:
    def test_any_version_goes_on_and_is_locked_by_its_checkpoint(self, queue: JobQueue) -> None:
        job_id = paused(queue, left(queue, "1.2", "1.3"))
        service.resume(queue.store, job_id, ANN, accept_change=True)
        claim = claimed(queue, equipped(queue, "1.1"))
        assert claim is not None
        assert claim.accepted_by == "ann"
        printed = queue.details(claim).events[-2]
        assert (printed.actor, printed.message) == (
            "ann",
            "resumed; a change of its plugins is accepted",
        )
        queue.checkpoint(claim, step=30, made_with=[record("1.1")])
        assert queue.details(claim).accepted_by is None
        worker_api.finish(queue.store, claim, State.QUEUED, message="handed over")
        assert claimed(queue, equipped(queue, "1.3")) is None
        assert claimed(queue, equipped(queue, "1.1")) is not None

    def test_by_a_retry(self, queue: JobQueue) -> None:
        claim = left(queue, "1.2", "1.3")
        service.request_cancel(queue.store, claim.job_id, ANN)
        service.retry(queue.store, claim.job_id, ANN, accept_change=True)
        assert queue.details(claim).accepted_by == "ann"
        assert claimed(queue, equipped(queue, "1.4")) is not None

    def test_it_holds_for_one_resume(self, queue: JobQueue) -> None:
        claim = left(queue, "1.2", "1.3")
        paused(queue, claim)
        service.resume(queue.store, claim.job_id, ANN, accept_change=True)
        paused(queue, claim)
        service.resume(queue.store, claim.job_id, ANN)
        assert queue.details(claim).accepted_by is None


class TestHandingBack:
    def test_it_waits_a_little_and_needs_what_turned_out(self, queue: JobQueue) -> None:
        submitted(queue, record("1.2"))
        worker = equipped(queue, "1.2")
        claim = claimed(queue, worker)
        assert claim is not None
        found = exactly([record("1.3")])
        worker_api.hand_back(
            queue.store, claim, message="needs another; handed back", requirements=found
        )
        assert queue.state(claim) is State.QUEUED
        assert "needs cell 'x' from dist-y = 1.3" in str(queue.details(claim).waiting)
        assert claimed(queue, equipped(queue, "1.3")) is None  # not yet
        queue.skip_delay(claim)
        assert claimed(queue, worker) is None
        assert claimed(queue, equipped(queue, "1.3")) is not None

    def test_what_people_asked_for_comes_first(self, queue: JobQueue) -> None:
        claim = queue.running()
        service.request_cancel(queue.store, claim.job_id, ANN)
        worker_api.hand_back(queue.store, claim, message="not here")
        assert queue.state(claim) is State.CANCELLED


class TestWaiting:
    def test_for_a_plugin_that_nobody_has(self, queue: JobQueue) -> None:
        job = submitted(queue, record("1.2"))
        equipped(queue)
        why = service.waiting(queue.store, job.id)
        assert str(why) == "needs cell 'x' from dist-y ≥ 1.2; no live worker has it"

    def test_for_another_version_than_somebody_has(self, queue: JobQueue) -> None:
        job = submitted(queue, record("1.2"))
        name = equipped(queue, "1.1").name
        why = service.waiting(queue.store, job.id)
        assert str(why) == (
            "needs cell 'x' from dist-y ≥ 1.2; no live worker has it; "
            f"worker {name} has cell 'x' from dist-y 1.1"
        )
        assert isinstance(why, PluginsMissing)
        assert [need.version for need in why.requirements] == ["1.2"]
        assert [(other.worker, other.plugin.version) for other in why.others] == [(name, "1.1")]

    def test_for_the_version_of_its_checkpoint(self, queue: JobQueue) -> None:
        claim = left(queue, "1.2", "1.3")
        alone(queue, "1.4")
        why = str(service.details(queue.store, claim.job_id).waiting)
        assert why.startswith("needs cell 'x' from dist-y = 1.3; no live worker has it; worker ")

    def test_for_several(self, queue: JobQueue) -> None:
        job = submitted(queue, record("1.2"), record("1", kind="sampler"))
        equipped(queue)
        assert str(service.waiting(queue.store, job.id)) == (
            "needs cell 'x' from dist-y ≥ 1.2, sampler 'x' from dist-y ≥ 1; "
            "no live worker has them all"
        )

    def test_not_while_an_equipped_slot_is_free(self, queue: JobQueue) -> None:
        job = submitted(queue, record("1.2"))
        equipped(queue)
        equipped(queue, "1.2")
        assert service.waiting(queue.store, job.id) is None

    def test_behind_the_equipped_workers_only(self, queue: JobQueue) -> None:
        submitted(queue, record("1.2"))
        assert claimed(queue, equipped(queue, "1.2")) is not None
        equipped(queue)
        job = submitted(queue, record("1.2"))
        assert service.waiting(queue.store, job.id) == WorkersBusy(slots=1)


def test_workers_record_what_they_have(queue: JobQueue) -> None:
    equipped(queue, "1.2")
    queue.worker()
    has, unknown = service.live_workers(queue.store)
    assert [p.version for p in has.plugins or ()] == ["1.2", "2.0"]
    assert unknown.plugins is None
