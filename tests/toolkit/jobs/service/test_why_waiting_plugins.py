"""A job goes to workers that have its plugins in a version that will do, and says why it waits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobs_floor import CONFIG, TEXT
from people import ANN, BOB
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.notices import PluginsMissing, WorkersBusy
from versemill.jobs.service import Submission
from versemill.jobs.states import State
from versemill.jobs.storage.tables import StoredRequirements
from versemill.plugins.record import PluginRecord
from versemill.plugins.requirements import OfferedPlugin, exactly

if TYPE_CHECKING:
    from jobs_floor import Floor
    from versemill.jobs.execution.worker_api import Claim, WorkerRecord
    from versemill.jobs.views import JobView


def record(version: str, *, kind: str = "cell", name: str = "x") -> PluginRecord:
    return PluginRecord(kind=kind, name=name, distribution="dist-y", version=version)


CORPUS = record("9", kind="corpus", name="songs")
HOT = record("2.0", kind="decoder", name="hot")


def submitted(floor: Floor, *plugins: dict[str, Any]) -> JobView:
    submission = Submission(config=CONFIG, text=TEXT, plugins=plugins)
    return service.enqueue(floor.store, submission, ANN).job


def equipped(floor: Floor, *versions: str, hot: str = "2.0") -> WorkerRecord:
    """A worker that has cell `x` from dist-y in these versions, and a decoder."""
    cells = tuple(
        OfferedPlugin(kind="cell", name="x", distribution="dist-y", version=version)
        for version in versions
    )
    decoder = OfferedPlugin(kind="decoder", name="hot", distribution="dist-y", version=hot)
    worker = replace(floor.worker(), plugins=(*cells, decoder))
    worker_api.beat(floor.store, worker)
    return worker


def claimed(floor: Floor, worker: WorkerRecord) -> Claim | None:
    found = worker_api.claim(floor.store, worker)
    assert worker_api.runnable(floor.store, worker) in {False, found is not None}
    return found


def left(floor: Floor, submitted_with: str, made_with: str) -> Claim:
    """A job handed over after a checkpoint made with that version."""
    submitted(floor, record(submitted_with), HOT)
    claim = claimed(floor, equipped(floor, made_with))
    assert claim is not None
    floor.checkpoint(claim, step=20, made_with=[record(made_with)])
    worker_api.finish(floor.store, claim, State.QUEUED, message="handed over")
    return claim


def paused(floor: Floor, claim: Claim) -> int:
    service.request_pause(floor.store, claim.job_id, ANN)
    return claim.job_id


def alone(floor: Floor, *versions: str) -> WorkerRecord:
    """The same worker as the only one that is alive."""
    for view in service.live_workers(floor.store):
        gone = worker_api.WorkerRecord(id=view.id, name="", host="", pid=0, slots=1, version="")
        worker_api.forget_worker(floor.store, gone)
    return equipped(floor, *versions)


@pytest.mark.parametrize(("has", "takes"), [("1.2", True), ("1.10", True), ("1.1", False)])
def test_a_new_job_goes_to_its_version_or_a_later_one(
    floor: Floor, has: str, *, takes: bool
) -> None:
    submitted(floor, CORPUS, record("1.2"))
    assert (claimed(floor, equipped(floor, has)) is not None) is takes


def test_it_is_left_by_workers_without_its_plugin(floor: Floor) -> None:
    submitted(floor, record("1.2"), HOT)
    assert claimed(floor, equipped(floor)) is None
    assert claimed(floor, equipped(floor, "1.2", hot="1.9")) is None
    assert claimed(floor, equipped(floor, "1.2", hot="2.1")) is not None


def test_the_claim_tells_what_it_needs(floor: Floor) -> None:
    submitted(floor, CORPUS, record("1.2"))
    claim = claimed(floor, equipped(floor, "1.3"))
    assert claim is not None
    assert [wanted.version for wanted in claim.requirements] == ["1.2"]
    assert claim.accepted_by is None


def test_order_is_that_of_submission_whatever_is_needed(floor: Floor) -> None:
    needs = [[record("1.2")], [], [HOT], [record("9")], [record("1.2"), HOT], [record("1.2")]]
    ids = [submitted(floor, *plugins).id for plugins in needs]
    worker = equipped(floor, "1.2")
    found = [claimed(floor, worker) for _ in range(6)]
    assert [claim and claim.job_id for claim in found] == [*ids[:3], *ids[4:], None]


def test_equal_needs_are_stored_once(floor: Floor) -> None:
    for _ in range(3):
        submitted(floor, CORPUS, record("1.2"))
    assert floor.count(StoredRequirements) == 1


def test_a_worker_that_does_not_know_yet_takes_any(floor: Floor) -> None:
    submitted(floor, record("1.2"))
    assert worker_api.claim(floor.store, floor.worker()) is not None


def test_a_job_of_before_goes_anywhere(floor: Floor) -> None:
    submitted(floor)
    assert claimed(floor, equipped(floor)) is not None


def test_a_checkpoint_locks_the_version_it_was_made_with(floor: Floor) -> None:
    left(floor, "1.2", "1.3")
    assert claimed(floor, equipped(floor, "1.2")) is None
    assert claimed(floor, equipped(floor, "1.4")) is None
    assert claimed(floor, equipped(floor, "1.3", hot="2.1")) is not None


def test_nothing_is_locked_once_it_begins_anew(floor: Floor) -> None:
    job_id = left(floor, "1.2", "1.3").job_id
    service.request_cancel(floor.store, job_id, ANN)
    service.retry(floor.store, job_id, ANN, from_scratch=True)
    claim = claimed(floor, equipped(floor, "1.4"))
    assert claim is not None
    floor.checkpoint(claim, step=20, made_with=[record("1.4")])
    worker_api.rewind(floor.store, claim, epoch=0, step=0)  # every checkpoint was damaged, say
    worker_api.finish(floor.store, claim, State.QUEUED, message="handed over")
    assert claimed(floor, equipped(floor, "1.2")) is not None


class TestAccepting:
    def test_any_version_goes_on_and_is_locked_by_its_checkpoint(self, floor: Floor) -> None:
        job_id = paused(floor, left(floor, "1.2", "1.3"))
        service.resume(floor.store, job_id, BOB, accept_change=True)
        claim = claimed(floor, equipped(floor, "1.1"))
        assert claim is not None
        assert claim.accepted_by == "bob"
        told = floor.details(claim).events[-2]
        assert (told.actor, told.message) == ("bob", "resumed; a change of its plugins is accepted")
        floor.checkpoint(claim, step=30, made_with=[record("1.1")])
        assert floor.details(claim).accepted_by is None
        worker_api.finish(floor.store, claim, State.QUEUED, message="handed over")
        assert claimed(floor, equipped(floor, "1.3")) is None
        assert claimed(floor, equipped(floor, "1.1")) is not None

    def test_by_a_retry(self, floor: Floor) -> None:
        claim = left(floor, "1.2", "1.3")
        service.request_cancel(floor.store, claim.job_id, ANN)
        service.retry(floor.store, claim.job_id, ANN, accept_change=True)
        assert floor.details(claim).accepted_by == "ann"
        assert claimed(floor, equipped(floor, "1.4")) is not None

    def test_it_holds_for_one_resume(self, floor: Floor) -> None:
        claim = left(floor, "1.2", "1.3")
        paused(floor, claim)
        service.resume(floor.store, claim.job_id, ANN, accept_change=True)
        paused(floor, claim)
        service.resume(floor.store, claim.job_id, ANN)
        assert floor.details(claim).accepted_by is None


class TestHandingBack:
    def test_it_waits_a_little_and_needs_what_turned_out(self, floor: Floor) -> None:
        submitted(floor, record("1.2"))
        worker = equipped(floor, "1.2")
        claim = claimed(floor, worker)
        assert claim is not None
        found = exactly([record("1.3")])
        worker_api.hand_back(
            floor.store, claim, message="needs another; handed back", requirements=found
        )
        assert floor.state(claim) is State.QUEUED
        assert "needs cell 'x' from dist-y = 1.3" in str(floor.details(claim).waiting)
        assert claimed(floor, equipped(floor, "1.3")) is None  # not yet
        floor.hurry(claim)
        assert claimed(floor, worker) is None
        assert claimed(floor, equipped(floor, "1.3")) is not None

    def test_what_people_asked_for_comes_first(self, floor: Floor) -> None:
        claim = floor.running()
        service.request_cancel(floor.store, claim.job_id, ANN)
        worker_api.hand_back(floor.store, claim, message="not here")
        assert floor.state(claim) is State.CANCELLED


class TestWaiting:
    def test_for_a_plugin_that_nobody_has(self, floor: Floor) -> None:
        job = submitted(floor, record("1.2"))
        equipped(floor)
        why = service.waiting(floor.store, job.id)
        assert str(why) == "needs cell 'x' from dist-y ≥ 1.2; no live worker has it"

    def test_for_another_version_than_somebody_has(self, floor: Floor) -> None:
        job = submitted(floor, record("1.2"))
        name = equipped(floor, "1.1").name
        why = service.waiting(floor.store, job.id)
        assert str(why) == (
            "needs cell 'x' from dist-y ≥ 1.2; no live worker has it; "
            f"worker {name} has cell 'x' from dist-y 1.1"
        )
        assert isinstance(why, PluginsMissing)
        assert [need.version for need in why.requirements] == ["1.2"]
        assert [(other.worker, other.plugin.version) for other in why.others] == [(name, "1.1")]

    def test_for_the_version_of_its_checkpoint(self, floor: Floor) -> None:
        claim = left(floor, "1.2", "1.3")
        alone(floor, "1.4")
        why = str(service.details(floor.store, claim.job_id).waiting)
        assert why.startswith("needs cell 'x' from dist-y = 1.3; no live worker has it; worker ")

    def test_for_several(self, floor: Floor) -> None:
        job = submitted(floor, record("1.2"), record("1", kind="sampler"))
        equipped(floor)
        assert str(service.waiting(floor.store, job.id)) == (
            "needs cell 'x' from dist-y ≥ 1.2, sampler 'x' from dist-y ≥ 1; "
            "no live worker has them all"
        )

    def test_not_while_an_equipped_slot_is_free(self, floor: Floor) -> None:
        job = submitted(floor, record("1.2"))
        equipped(floor)
        equipped(floor, "1.2")
        assert service.waiting(floor.store, job.id) is None

    def test_behind_the_equipped_workers_only(self, floor: Floor) -> None:
        submitted(floor, record("1.2"))
        assert claimed(floor, equipped(floor, "1.2")) is not None
        equipped(floor)
        job = submitted(floor, record("1.2"))
        assert service.waiting(floor.store, job.id) == WorkersBusy(slots=1)


def test_workers_tell_what_they_have(floor: Floor) -> None:
    equipped(floor, "1.2")
    floor.worker()
    has, unknown = service.live_workers(floor.store)
    assert [p.version for p in has.plugins or ()] == ["1.2", "2.0"]
    assert unknown.plugins is None
