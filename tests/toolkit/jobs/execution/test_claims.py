"""Claims, fencing, recording: the worker's side on both databases."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from job_queue import lyric, metric
from people import ANN
from versemill.errors import FencedError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.execution.worker_api import Claim, ProgressRow
from versemill.jobs.states import FailureClass, Outcome, Request, State
from versemill.jobs.storage.tables import Attempt, LyricText, Metric, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_queue import JobQueue
    from versemill.jobs.storage.unit_of_work import Store


class TestClaiming:
    def test_nothing_to_claim(self, queue: JobQueue) -> None:
        assert worker_api.claim(queue.store, queue.worker()) is None

    def test_first_come_first_served(self, queue: JobQueue) -> None:
        submitted = [queue.submit().id for _ in range(4)]
        assert [queue.claim().job_id for _ in submitted] == submitted

    def test_a_resumed_job_goes_to_the_end(self, queue: JobQueue) -> None:
        first, second = queue.submit().id, queue.submit().id
        service.request_pause(queue.store, first, ANN)
        service.resume(queue.store, first, ANN)
        assert [queue.claim().job_id, queue.claim().job_id] == [second, first]

    def test_a_handed_over_job_keeps_its_place(self, queue: JobQueue) -> None:
        first = queue.claim(queue.submit().id)
        queue.submit()
        worker_api.finish(queue.store, first, State.QUEUED, message="handed over")
        assert queue.claim().job_id == first.job_id

    def test_only_one_job(self, queue: JobQueue) -> None:
        queue.submit()
        wanted = queue.submit().id
        assert queue.claim(only=wanted).job_id == wanted
        assert worker_api.claim(queue.store, queue.worker(), only=wanted) is None

    def test_what_a_claim_carries(self, queue: JobQueue) -> None:
        job = queue.submit("mine")
        claim = queue.claim()
        assert (claim.job_id, claim.job_name, claim.attempt) == (job.id, "mine", 1)
        assert claim.config["prefixes"] == ["分开", "不分开"]
        assert claim.plugins[0].name == "gru"
        assert worker_api.load_text(queue.store, claim).songs == ("晨光落在窗台\n", "雨停了\n")
        shown = queue.job(job.id)
        assert (shown.state, shown.worker, shown.attempt) == (State.RUNNING, "gpu-1", 1)

    def test_attempts_count_up(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.requeue(claim)
        assert queue.claim().attempt == 2

    def test_racing_claimers_never_get_the_same_job(self, queue: JobQueue) -> None:
        jobs = {queue.submit().id for _ in range(24)}
        workers = [queue.worker() for _ in range(4)]
        taken: list[int] = []
        ready = threading.Barrier(len(workers))

        def work(worker: worker_api.WorkerRecord) -> None:
            ready.wait()
            while (claim := worker_api.claim(queue.store, worker)) is not None:
                taken.append(claim.job_id)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == sorted(jobs)
        assert queue.count(Attempt) == len(jobs)

    def test_claims_wait_for_each_other(self, queue: JobQueue) -> None:
        job, worker = queue.submit(), queue.worker()
        claims: list[Claim | None] = []
        thread = threading.Thread(
            target=lambda: claims.append(worker_api.claim(queue.store, worker, only=job.id))
        )
        with queue.store.unit_of_work() as uow:
            uow.lock("claims")
            thread.start()
            thread.join(0.5)
            assert thread.is_alive()
        thread.join()
        assert claims[0] is not None

    def test_a_cancel_racing_a_claim_has_one_winner(self, queue: JobQueue) -> None:
        for _ in range(12):
            job_id, worker = queue.submit().id, queue.worker()
            ready = threading.Barrier(2)
            claims: list[Claim | None] = []

            def work(
                job_id: int = job_id,
                worker: worker_api.WorkerRecord = worker,
                ready: threading.Barrier = ready,
                claims: list[Claim | None] = claims,
            ) -> None:
                ready.wait()
                claims.append(worker_api.claim(queue.store, worker, only=job_id))

            thread = threading.Thread(target=work)
            thread.start()
            ready.wait()
            state = service.request_cancel(queue.store, job_id, ANN)
            thread.join()
            if claims[0] is None:
                assert state is State.CANCELLED
            else:
                assert worker_api.read_request(queue.store, claims[0]) is Request.CANCEL


def _worker_side(store: Store, checkpoint_id: int) -> dict[str, Callable[[Claim], Any]]:
    """Every function with which a holder reads or writes its job."""
    return {
        "renew": lambda claim: worker_api.renew(store, claim),
        "read_request": lambda claim: worker_api.read_request(store, claim),
        "record": lambda claim: worker_api.record(
            store,
            claim,
            progress=ProgressRow(step=20, epoch=2),
            metrics=[metric(20)],
            lyrics=[lyric(20)],
            output="late",
        ),
        "begin_checkpoint": lambda claim: worker_api.begin_checkpoint(
            store, claim, step=20, epoch=2, size=1
        ),
        "add_chunk": lambda claim: worker_api.add_chunk(store, claim, checkpoint_id, 0, b"x"),
        "complete_checkpoint": lambda claim: worker_api.complete_checkpoint(
            store, claim, checkpoint_id, "0" * 64
        ),
        "discard_checkpoint": lambda claim: worker_api.discard_checkpoint(
            store, claim, checkpoint_id, "late"
        ),
        "remark": lambda claim: worker_api.remark(store, claim, "late"),
        "rewind": lambda claim: worker_api.rewind(store, claim, epoch=0, step=0),
        "hand_back": lambda claim: worker_api.hand_back(
            store, claim, message="not mine", requirements=[]
        ),
        "finish": lambda claim: worker_api.finish(store, claim, State.SUCCEEDED, message="done"),
        "fail_or_retry": lambda claim: worker_api.fail_or_retry(
            store, claim, FailureClass.STALLED, error="late"
        ),
    }


class TestFencing:
    @pytest.mark.parametrize("function", _worker_side(None, 0))  # type: ignore[arg-type]
    @pytest.mark.parametrize("claimed_again", [False, True])
    def test_nothing_is_written_after_a_requeue(
        self, queue: JobQueue, function: str, claimed_again: bool
    ) -> None:
        claim = queue.running()
        worker_api.record(queue.store, claim, metrics=[metric(10)], lyrics=[lyric(10)])
        staged = worker_api.begin_checkpoint(queue.store, claim, step=10, epoch=1, size=1)
        queue.expire(claim)
        assert worker_api.sweep(queue.store) == [claim.job_id]
        if claimed_again:
            queue.claim()
        before = queue.snapshot()
        with pytest.raises(FencedError, match="attempt 1 no longer holds job"):
            _worker_side(queue.store, staged)[function](claim)
        assert queue.snapshot() == before

    def test_the_list_is_complete(self) -> None:
        takes_a_claim = {
            name
            for name in worker_api.__all__
            if "claim" in getattr(getattr(worker_api, name), "__annotations__", {})
        }
        assert takes_a_claim == {*_worker_side(None, 0), "load_text"}  # type: ignore[arg-type]

    def test_late_renewal_when_nobody_has_requeued(self, queue: JobQueue) -> None:
        claim = queue.running()
        queue.expire(claim)
        assert queue.job(claim.job_id).state_shown == "interrupted"
        worker_api.record(queue.store, claim, metrics=[metric(10)])
        assert worker_api.renew(queue.store, claim) is Request.NONE
        assert queue.job(claim.job_id).state_shown == "running"
        assert worker_api.sweep(queue.store) == []

    def test_renewal_and_sweep_racing_have_one_winner(self, queue: JobQueue) -> None:
        for _ in range(10):
            claim = queue.running()
            queue.expire(claim)
            ready = threading.Barrier(2)
            swept: list[int] = []

            def work(ready: threading.Barrier = ready, swept: list[int] = swept) -> None:
                ready.wait()
                swept.extend(worker_api.sweep(queue.store))

            thread = threading.Thread(target=work)
            thread.start()
            ready.wait()
            try:
                worker_api.renew(queue.store, claim)
                held = True
            except FencedError:
                held = False
            thread.join()
            assert swept == ([] if held else [claim.job_id])
            service.request_cancel(queue.store, claim.job_id, ANN)


class TestRecording:
    def test_progress_is_shown(self, queue: JobQueue) -> None:
        claim = queue.running()
        full = ProgressRow(
            step=5,
            epoch=1,
            train_perplexity=70.0,
            valid_perplexity=80.0,
            characters_per_second=900.0,
            seconds_left=12.5,
        )
        worker_api.record(queue.store, claim, progress=full)
        worker_api.record(queue.store, claim, progress=ProgressRow(step=6, epoch=1))
        job = queue.job(claim.job_id)
        assert (job.step, job.epoch, job.epochs) == (6, 1, 50)
        assert (job.train_perplexity, job.valid_perplexity) == (70.0, 80.0)
        assert (job.characters_per_second, job.seconds_left) == (900.0, None)
        attempt = queue.details(claim).attempts[0]
        assert (attempt.first_step, attempt.last_step) == (0, 6)

    def test_writing_twice_does_no_harm(self, queue: JobQueue) -> None:
        claim = queue.running()
        for _ in range(2):
            worker_api.record(
                queue.store, claim, metrics=[metric(10)], lyrics=[lyric(10), lyric(10, "雨")]
            )
        assert [point.step for point in service.curve(queue.store, claim.job_id)] == [10]
        written = service.lyrics(queue.store, claim.job_id)
        assert [text.prefix for text in written] == ["分开", "雨"]

    def test_text_that_a_database_cannot_hold(self, queue: JobQueue) -> None:
        claim = queue.running()
        worker_api.record(
            queue.store, claim, lyrics=[lyric(10, "a\0b\ud800c🎵")], output="nul \0 here"
        )
        assert service.lyrics(queue.store, claim.job_id)[0].prefix == "a\ufffdb\ufffdc🎵"
        assert service.output(queue.store, claim.job_id)[0].output == "nul \ufffd here"

    def test_the_end_of_long_output_is_kept(self, queue: JobQueue) -> None:
        claim = queue.running()
        worker_api.record(queue.store, claim, output="晨" * 50_000 + "the end")
        kept = service.output(queue.store, claim.job_id)[0].output
        assert kept.endswith("晨the end")
        assert 65_530 <= len(kept.encode()) <= 65_536

    def test_rewind_leaves_neither_gap_nor_overlap(self, queue: JobQueue) -> None:
        first = queue.running()
        for step in (10, 20, 30):
            worker_api.record(
                queue.store,
                first,
                progress=ProgressRow(step=step, epoch=step // 10),
                metrics=[metric(step, valid=step if step < 20 else None)],
                lyrics=[lyric(step)],
            )
        queue.requeue(first)
        second = queue.claim()
        worker_api.rewind(queue.store, second, epoch=1, step=15, checkpoint_id=1)
        assert [point.step for point in service.curve(queue.store, second.job_id)] == [10]
        assert [text.step for text in service.lyrics(queue.store, second.job_id)] == [10]
        job = queue.job(second.job_id)
        assert (job.step, job.epoch, job.train_perplexity) == (15, 1, 10.0)
        assert job.valid_perplexity == 10.0
        assert queue.details(second).events[-1].message == "resumed from step 15; 15 steps repeated"
        worker_api.record(queue.store, second, metrics=[metric(20), metric(30)])
        points = service.curve(queue.store, second.job_id)
        assert [(point.step, point.attempt) for point in points] == [(10, 1), (20, 2), (30, 2)]

    def test_one_step_repeated_is_one(self, queue: JobQueue) -> None:
        claim = queue.running()
        worker_api.record(queue.store, claim, progress=ProgressRow(step=16, epoch=1))
        worker_api.rewind(queue.store, claim, epoch=1, step=15, checkpoint_id=1)
        assert queue.details(claim).events[-1].message == "resumed from step 15; 1 step repeated"

    def test_rewind_to_the_beginning(self, queue: JobQueue) -> None:
        claim = queue.running()
        worker_api.record(queue.store, claim, metrics=[metric(10)], lyrics=[lyric(10)])
        worker_api.rewind(queue.store, claim, epoch=0, step=0)
        assert (queue.count(Metric), queue.count(LyricText)) == (0, 0)
        assert queue.job(claim.job_id).train_perplexity is None

    def test_success(self, queue: JobQueue) -> None:
        claim = queue.running()
        worker_api.finish(
            queue.store, claim, State.SUCCEEDED, message="done", result={"test": {"bits": 3.5}}
        )
        shown = queue.details(claim)
        assert shown.result == {"test": {"bits": 3.5}}
        assert shown.job.finished_at is not None
        assert shown.job.worker is None
        assert shown.attempts[0].outcome is Outcome.SUCCEEDED
        assert shown.attempts[0].ended_at is not None

    def test_failure_keeps_its_error(self, queue: JobQueue) -> None:
        claim = queue.running()
        worker_api.finish(
            queue.store,
            claim,
            State.FAILED,
            message="failed",
            error="loss became nan",
            exit="exit code 1",
            failure=FailureClass.USER,
        )
        shown = queue.details(claim)
        assert shown.job.error == "loss became nan"
        attempt = shown.attempts[0]
        assert (attempt.failure, attempt.exit) == (FailureClass.USER, "exit code 1")


class TestWorkers:
    def test_registered_seen_and_forgotten(self, queue: JobQueue) -> None:
        worker = queue.worker()
        queue.submit()
        worker_api.claim(queue.store, worker)
        (seen,) = service.live_workers(queue.store)
        assert (seen.id, seen.name, seen.slots, seen.busy) == (worker.id, "gpu-1", 1, 1)
        worker_api.forget_worker(queue.store, worker)
        assert service.live_workers(queue.store) == []

    def test_one_not_seen_for_a_lease_is_not_alive(self, queue: JobQueue) -> None:
        worker = queue.worker()
        queue.age_worker(worker, seen=31)
        assert service.live_workers(queue.store) == []
        worker_api.heartbeat(queue.store, worker)
        assert len(service.live_workers(queue.store)) == 1

    def test_a_gap_restarts_the_time_without_gaps(self, queue: JobQueue) -> None:
        worker = queue.worker()
        steady = select(Worker.steady_since)
        queue.age_worker(worker, seen=9, steady=100)
        with queue.store.reading() as session:
            before = session.scalars(steady).one()
        worker_api.heartbeat(queue.store, worker)
        with queue.store.reading() as session:
            assert session.scalars(steady).one() == before
        queue.age_worker(worker, seen=31, steady=100)
        worker_api.heartbeat(queue.store, worker)
        with queue.store.reading() as session:
            assert session.scalars(steady).one() > before

    def test_a_pruned_worker_announces_itself_again(self, queue: JobQueue) -> None:
        worker = queue.worker()
        queue.age_worker(worker, seen=1000)
        worker_api.sweep(queue.store)
        assert queue.count(Worker) == 0
        worker_api.heartbeat(queue.store, worker)
        assert queue.count(Worker) == 1


class TestLastMoment:
    """What people ask for while a job is being handed over is not lost."""

    @pytest.mark.parametrize("end", [State.QUEUED, State.PAUSED])
    def test_cancel(self, queue: JobQueue, end: State) -> None:
        claim = queue.running()
        service.request_cancel(queue.store, claim.job_id, ANN)
        worker_api.finish(queue.store, claim, end, message="handed over")
        assert queue.state(claim) is State.CANCELLED

    def test_pause(self, queue: JobQueue) -> None:
        claim = queue.running()
        service.request_pause(queue.store, claim.job_id, ANN)
        worker_api.finish(queue.store, claim, State.QUEUED, message="handed over")
        assert queue.state(claim) is State.PAUSED

    def test_a_job_that_has_ended_has_ended(self, queue: JobQueue) -> None:
        claim = queue.running()
        service.request_cancel(queue.store, claim.job_id, ANN)
        worker_api.finish(queue.store, claim, State.SUCCEEDED, message="trained to its end")
        assert queue.state(claim) is State.SUCCEEDED
