"""Reserved places: who may start there, who leaves, and what happens to those."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gpus import GB, GPU, claim, submit
from people import ANN, BOB
from versemill.errors import ConfigError, ForbiddenError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.states import Outcome, Priority, Request, Role, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Attempt, Job, Reservation

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.views import ReservationView


@pytest.fixture(autouse=True)
def _ann_is_admin(queue: JobQueue) -> None:
    service.add_user(queue.store, "bob", Role.MEMBER, ANN)


def reserve(
    queue: JobQueue, target: str, starts_in: float = 0, ends_in: float = 3600, **whose: Any
) -> ReservationView:
    whose = whose or {"owner": "bob"}
    return service.reserve(queue.store, target, ANN, starts_in=starts_in, ends_in=ends_in, **whose)[
        0
    ]


def end(queue: JobQueue, made: ReservationView) -> None:
    """Lets the period of a reservation pass."""
    queue.change(Reservation, Reservation.id == made.id, ends_at=db_now(-1))


class TestStarting:
    @pytest.mark.parametrize("target", ["attic", "GPU-1"])
    def test_only_the_owners_jobs_start_there(self, queue: JobQueue, target: str) -> None:
        worker = replace(queue.worker(), name="attic")
        made = reserve(queue, target)
        anns = submit(queue.store)
        assert claim(queue.store, worker, GPU()) is None
        bobs = submit(queue.store, principal=BOB)
        found = claim(queue.store, worker, GPU())
        assert found is not None
        assert found.job_id == bobs.id
        end(queue, made)
        found = claim(queue.store, worker, GPU())
        assert found is not None
        assert found.job_id == anns.id

    def test_only_jobs_that_ask_for_its_label_start_there(self, queue: JobQueue) -> None:
        worker = replace(queue.worker(), name="attic", labels=("course",))
        reserve(queue, "attic", label="course")
        submit(queue.store)
        asks = submit(queue.store, labels=("course",))
        found = claim(queue.store, worker, GPU())
        assert found is not None
        assert found.job_id == asks.id
        assert claim(queue.store, worker, GPU()) is None

    def test_other_places_are_open(self, queue: JobQueue) -> None:
        reserve(queue, "GPU-1")
        submit(queue.store)
        found = claim(queue.store, queue.worker(), GPU(), GPU(id="GPU-2"))
        assert found is not None
        assert found.device.id == "GPU-2"

    def test_before_it_begins_everybody_starts(self, queue: JobQueue) -> None:
        reserve(queue, "GPU-1", starts_in=60)
        submit(queue.store)
        assert claim(queue.store, queue.worker(), GPU()) is not None

    def test_an_urgent_job_of_others_takes_no_place_there(self, queue: JobQueue) -> None:
        worker = replace(queue.worker(), devices=(GPU().measure(),))
        worker_api.heartbeat(queue.store, worker)
        reserve(queue, "GPU-1")
        submit(queue.store, principal=BOB)
        running = claim(queue.store, worker, GPU())
        assert running is not None
        queue.change(Attempt, Attempt.job_id == running.job_id, started_at=db_now(-1000))
        urgent = submit(queue.store)
        queue.change(Job, Job.id == urgent.id, priority=Priority.URGENT)
        assert worker_api.preempt(queue.store) is None


class TestLeaving:
    def test_jobs_of_others_are_asked_to_leave_and_keep_their_turn(self, queue: JobQueue) -> None:
        worker = queue.worker()
        submit(queue.store)
        submit(queue.store, principal=BOB)
        running = [claim(queue.store, worker, GPU()) for _ in range(2)]
        anns = next(each for each in running if each is not None and each.job_id == 1)
        bobs = next(each for each in running if each is not None and each.job_id == 2)
        assert worker_api.enforce_reservations(queue.store) == []
        reserve(queue, "GPU-1")
        assert worker_api.enforce_reservations(queue.store) == [anns.job_id]
        assert worker_api.enforce_reservations(queue.store) == [], "asked once"
        assert worker_api.read_request(queue.store, bobs) is Request.NONE
        assert worker_api.renew(queue.store, anns) is Request.PREEMPT
        with queue.store.reading() as session:
            queued_at = session.get_one(Job, anns.job_id).queued_at
        worker_api.finish(queue.store, anns, State.QUEUED, message="pre-empted at step 0")
        asked, gone = [event.message for event in queue.details(anns).events][-2:]
        assert asked.startswith("asked to leave GPU-1, which is reserved for bob until ")
        assert "its place is reserved; 0 steps lost" in gone
        with queue.store.reading() as session:
            job = session.get_one(Job, anns.job_id)
            assert (job.queued_at, job.reservation_id) == (queued_at, None)
            assert session.get_one(Attempt, (anns.job_id, 1)).outcome is Outcome.YIELDED
        assert claim(queue.store, worker, GPU()) is None

    def test_a_job_stays_once_the_reservation_is_over(self, queue: JobQueue) -> None:
        submit(queue.store)
        running = claim(queue.store, queue.worker(), GPU())
        assert running is not None
        made = reserve(queue, "GPU-1")
        worker_api.enforce_reservations(queue.store)
        service.cancel_reservation(queue.store, made.id, ANN)
        assert worker_api.enforce_reservations(queue.store) == []
        assert worker_api.read_request(queue.store, running) is Request.NONE
        assert queue.details(running).events[-1].message.startswith("keeps its place")

    def test_a_job_without_a_checkpoint_in_time_yields(self, queue: JobQueue) -> None:
        submit(queue.store)
        running = claim(queue.store, queue.worker(), GPU())
        assert running is not None
        reserve(queue, "GPU-1")
        worker_api.enforce_reservations(queue.store)
        worker_api.decline_preemption(queue.store, running, "no durable checkpoint within 30 s")
        assert worker_api.read_request(queue.store, running) is Request.YIELD
        message = "no durable checkpoint within 30 s; its place is reserved, so it yields"
        assert queue.details(running).events[-1].message == message


class TestReserving:
    def test_reservations_are_listed_until_they_are_over(self, queue: JobQueue) -> None:
        later = reserve(queue, "attic", starts_in=60, label="course")
        now = reserve(queue, "GPU-1")
        assert service.reservations(queue.store) == [now, later]
        assert (now.active, later.active) == (True, False)
        assert (now.whose, later.whose) == ("bob", "label course")
        end(queue, now)
        assert service.reservations(queue.store) == [later]

    @pytest.mark.parametrize(("starts_in", "ends_in"), [(0, 60), (1800, 1900), (3500, 9000)])
    def test_one_over_another_of_the_same_target_is_refused(
        self, queue: JobQueue, starts_in: float, ends_in: float
    ) -> None:
        reserve(queue, "GPU-1", starts_in=30, ends_in=3600)
        with pytest.raises(ConfigError, match=r"not reserved already \(reservation 1: GPU-1 for"):
            reserve(queue, "GPU-1", starts_in, ends_in)
        reserve(queue, "GPU-2", starts_in, ends_in)

    def test_one_may_follow_another(self, queue: JobQueue) -> None:
        reserve(queue, "GPU-1", ends_in=1800)
        reserve(queue, "GPU-1", starts_in=1801, ends_in=3600)

    @pytest.mark.parametrize(("starts_in", "ends_in"), [(-1, 60), (60, 60), (60, 30), (0, 1e9)])
    def test_an_impossible_period_is_refused(
        self, queue: JobQueue, starts_in: float, ends_in: float
    ) -> None:
        with pytest.raises(ConfigError, match="ends after it starts, within a year"):
            reserve(queue, "GPU-1", starts_in, ends_in)

    def test_a_target_that_nobody_has_is_told(self, queue: JobQueue) -> None:
        worker = replace(queue.worker(), devices=(GPU().measure(),))
        worker_api.heartbeat(queue.store, worker)
        for target in (worker.name, "GPU-1", "nowhere"):
            _, told = service.reserve(
                queue.store, target, ANN, starts_in=0, ends_in=60, owner="bob"
            )
            assert [notice.target for notice in told] == (
                ["nowhere"] if target == "nowhere" else []
            )

    def test_an_unknown_owner_is_refused(self, queue: JobQueue) -> None:
        with pytest.raises(UnknownNameError, match="no user named 'carol'"):
            reserve(queue, "GPU-1", owner="carol")

    def test_only_admins_reserve_and_cancel(self, queue: JobQueue) -> None:
        made = reserve(queue, "GPU-1")
        with pytest.raises(ForbiddenError, match="bob may not reserve devices"):
            service.reserve(queue.store, "GPU-2", BOB, starts_in=0, ends_in=60, owner="bob")
        with pytest.raises(ForbiddenError, match="bob may not cancel reservations"):
            service.cancel_reservation(queue.store, made.id, BOB)

    def test_what_is_not_there_cannot_be_cancelled(self, queue: JobQueue) -> None:
        with pytest.raises(UnknownNameError, match="no reservation named '7'"):
            service.cancel_reservation(queue.store, 7, ANN)


def test_memory_of_jobs_that_left_is_free(queue: JobQueue) -> None:
    gpu = GPU()
    submit(queue.store, memory=70 * GB)
    running = claim(queue.store, queue.worker(), gpu)
    assert running is not None
    gpu.takes(queue.store, running, 70 * GB)
    reserve(queue, "GPU-1")
    submit(queue.store, memory=70 * GB, principal=BOB)
    assert claim(queue.store, queue.worker(), gpu) is None
    worker_api.enforce_reservations(queue.store)
    worker_api.finish(queue.store, running, State.QUEUED, message="pre-empted")
    gpu.taken.clear()
    assert claim(queue.store, queue.worker(), gpu) is not None
