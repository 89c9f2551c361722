"""Whole worker processes on real databases: what a job meets from its claim to its end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from people import ANN
from versemill.checkpoints.file import Checkpoint, read
from versemill.jobs import service
from versemill.jobs.execution import checkpoints, recovery
from versemill.jobs.storage.tables import Worker
from versemill_workers.slots import TROUBLE_SECONDS
from versemill_workers.supervisor.attempt import STOP_SECONDS
from worker_stage import ENDLESS, LONG, Stage, has_ended

if TYPE_CHECKING:
    from versemill.jobs.views import JobView

pytestmark = pytest.mark.timeout(400)  # each waits long enough for a busy machine


def final(stage: Stage, job: JobView) -> Checkpoint:
    """The final checkpoint of a job, through the database's checksums."""
    (row,) = [row for row in checkpoints.checkpoints(stage.store, job.id) if row.is_final]
    path = stage.home / f"final-{job.id}.safetensors"
    path.write_bytes(b"".join(checkpoints.read_checkpoint(stage.store, row.id)))
    return read(path)


def assert_same_end(stage: Stage, one: JobView, other: JobView) -> None:
    """Equal to the last bit: weights, optimizer, curve and lyrics."""
    ours, theirs = final(stage, one), final(stage, other)
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in ours.tensors.items():
        assert tensor.equal(theirs.tensors[name]), name
    assert ours.meta == theirs.meta
    curves = [
        [(p.step, p.epoch, p.train_perplexity, p.valid_perplexity) for p in curve]
        for curve in (service.curve(stage.store, job.id) for job in (one, other))
    ]
    assert curves[0] == curves[1]
    texts = [
        [(lyric.step, lyric.prefix, lyric.text) for lyric in service.lyrics(stage.store, job.id)]
        for job in (one, other)
    ]
    assert texts[0] == texts[1]


def test_a_job_is_trained_to_its_end_and_leaves_everything(stage: Stage) -> None:
    job = stage.submit()
    stage.start_worker()
    job = stage.until_state(job, "succeeded")
    assert [p.epoch for p in service.curve(stage.store, job.id)] == list(range(1, 31))
    assert all(p.valid_perplexity for p in service.curve(stage.store, job.id))
    lyrics = service.lyrics(stage.store, job.id)
    assert len(lyrics) == 3
    assert all(lyric.text.startswith("分开") for lyric in lyrics)
    kept = checkpoints.checkpoints(stage.store, job.id)
    for flag in ("is_last", "is_best", "is_final"):
        assert sum(getattr(row, flag) for row in kept) == 1
    assert job.epoch == job.epochs == 30
    assert job.valid_perplexity == service.curve(stage.store, job.id)[-1].valid_perplexity
    assert stage.messages(job)[-1].startswith("trained to its end")


def test_a_worker_leaves_no_files(alone: Stage) -> None:
    job = alone.submit()
    worker = alone.start_worker()
    alone.until_state(job, "succeeded")
    spool = alone.home / "spool"
    # The job's own folder goes right after its result is recorded.
    alone.until(lambda: [path.suffix for path in spool.iterdir()] == [".lock"])
    worker.terminate()
    assert worker.wait(60) == 0
    assert list(spool.iterdir()) == []


def test_a_killed_trainer_is_resumed_to_the_same_end(alone: Stage) -> None:
    long = LONG | {"model.dropout": 0.2}
    undisturbed, disturbed = alone.submit(**long), alone.submit(**long)
    alone.start_worker()
    alone.until_state(undisturbed, "succeeded")
    first = alone.until_checkpoint(disturbed)
    alone.until_training(disturbed).kill()
    alone.until(lambda: any("killed by signal 9" in m for m in alone.messages(disturbed)))
    alone.until_checkpoint(disturbed, after=first)
    ended = alone.until_state(disturbed, "succeeded")
    assert ended.attempt >= 2
    assert any(m.startswith("resumed from step") for m in alone.messages(disturbed))
    assert_same_end(alone, undisturbed, disturbed)


def test_a_trainer_killed_before_any_checkpoint_begins_anew(alone: Stage) -> None:
    alone.environment["VERSEMILL_CHECKPOINT_SECONDS"] = "600"
    undisturbed, disturbed = alone.submit(**LONG), alone.submit(**LONG)
    alone.start_worker()
    alone.until_state(undisturbed, "succeeded")
    alone.until_training(disturbed).kill()
    alone.until_state(disturbed, "succeeded")
    assert any(m.startswith("from the beginning") for m in alone.messages(disturbed))
    assert_same_end(alone, undisturbed, disturbed)


def test_pause_and_resume_change_nothing(alone: Stage) -> None:
    long = LONG | {"cell": "lstm"}
    undisturbed, disturbed = alone.submit(**long), alone.submit(**long)
    alone.start_worker()
    alone.until_state(undisturbed, "succeeded")
    alone.until_training(disturbed)
    service.request_pause(alone.store, disturbed.id, ANN)
    paused = alone.until_state(disturbed, "paused")
    assert 0 < paused.step < alone.job(undisturbed).step
    service.resume(alone.store, disturbed.id, ANN)
    alone.until_state(disturbed, "succeeded")
    assert_same_end(alone, undisturbed, disturbed)


def test_more_epochs_equal_a_longer_job(alone: Stage) -> None:
    short = alone.submit(training__epochs=20, training__schedule="constant")
    long = alone.submit(training__epochs=30, training__schedule="constant")
    alone.start_worker()
    alone.until_state(short, "succeeded")
    service.resume(alone.store, short.id, ANN, epochs=30)
    alone.until_state(short, "succeeded")
    alone.until_state(long, "succeeded")
    assert_same_end(alone, short, long)


def test_a_worker_without_a_spool_does_not_start(alone: Stage) -> None:
    (alone.home / "spool").write_text("not a folder")
    worker = alone.start_worker()
    assert worker.wait(60) == 1
    assert alone.log().count("\n") == 1
    assert "set VERSEMILL_HOME to a folder" in alone.log()


def test_a_broken_worker_says_so_and_does_not_eat_the_queue(alone: Stage) -> None:
    spool = alone.home / "spool"
    alone.start_worker("--name", "broken")
    alone.until_ready()
    shutil.rmtree(spool)
    spool.write_text("not a folder")
    began = time.monotonic()
    jobs = [alone.submit() for _ in range(3)]
    alone.until(lambda: any("is in trouble" in m for job in jobs for m in alone.messages(job)))
    time.sleep(2)  # it has looked for work four times by then
    attempts = sum(alone.job(job).attempt for job in jobs)
    assert 1 <= attempts <= 1 + (time.monotonic() - began) // TROUBLE_SECONDS
    assert [alone.job(job).state for job in jobs] == ["queued"] * 3


def test_files_of_a_frozen_worker_are_left_alone(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    frozen = alone.start_worker()
    alone.until_training(job)
    files = list((alone.home / "spool").glob("*-job-*/corpus"))
    alone.freeze(frozen)
    with alone.store.unit_of_work() as uow:
        uow.execute(delete(Worker))  # as sweeping does to one that has not been seen for long
        uow.commit()
    other = alone.start_worker()
    alone.until(lambda: service.live_workers(alone.store))
    other.terminate()
    assert other.wait(60) == 0
    assert [path for path in files if not path.exists()] == []
    os.kill(frozen.pid, signal.SIGCONT)


def test_what_killed_workers_left_is_removed(alone: Stage) -> None:
    left = alone.home / "spool" / "3b1c1a52-0000-0000-0000-000000000000-job-7-1"
    left.mkdir(parents=True)
    job = alone.submit()
    alone.start_worker()
    alone.until_state(job, "succeeded")
    assert not left.exists()


def test_cancel_keeps_a_checkpoint_and_retry_goes_on_from_it(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    alone.start_worker()
    alone.until_training(job)
    asked = time.monotonic()
    service.request_cancel(alone.store, job.id, ANN)
    job = alone.until_state(job, "cancelled")
    assert time.monotonic() - asked < 20
    (row,) = [r for r in checkpoints.checkpoints(alone.store, job.id) if r.is_last]
    assert row.step == job.step
    alone.until(lambda: alone.trainer() is None)
    service.retry(alone.store, job.id, ANN)
    alone.until_training(job)
    assert f"resumed from step {row.step:,}" in alone.messages(job)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_hands_over(alone: Stage, number: signal.Signals) -> None:
    job = alone.submit(**ENDLESS)
    worker = alone.start_worker()
    alone.until_training(job)
    worker.send_signal(number)
    assert worker.wait(60) == 0
    job = alone.job(job)
    assert job.state == "queued"
    told = f"handed over at step {job.step:,}, since worker {socket.gethostname()} ends"
    assert alone.messages(job)[-1] == told
    assert service.live_workers(alone.store) == []
    alone.start_worker()
    alone.until_training(job)
    assert f"resumed from step {job.step:,}" in alone.messages(job)


def test_the_second_signal_ends_at_once(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    worker = alone.start_worker()
    trainer = alone.until_training(job)
    trainer.suspend()  # so that no checkpoint comes and the first signal alone would take long
    worker.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)

    def ended() -> bool:
        worker.terminate()  # again, since one that comes before another was noticed adds nothing
        return worker.poll() is not None

    alone.until(ended, seconds=STOP_SECONDS / 2)
    assert worker.returncode == 1
    alone.until(lambda: has_ended(trainer))


def test_a_killed_workers_trainer_ends_and_its_job_goes_on_elsewhere(stage: Stage) -> None:
    job = stage.submit(**ENDLESS)
    worker = stage.start_worker("--name", "doomed")
    trainer = stage.until_training(job)
    stage.until_checkpoint(job)
    worker.kill()
    worker.wait()
    stage.until(lambda: has_ended(trainer), seconds=20)
    stage.expire_lease(job)
    assert recovery.sweep(stage.store) == [job.id]
    assert any("worker doomed was lost at step" in m for m in stage.messages(job))
    stage.start_worker("--name", "heir")
    stage.until(lambda: any(m.startswith("resumed") for m in stage.messages(job)))


def test_a_fenced_off_worker_kills_its_trainer_and_writes_nothing_more(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    alone.start_worker()
    trainer = alone.until_training(job)
    alone.freeze(alone.workers[-1])
    alone.expire_lease(job)
    assert recovery.sweep(alone.store) == [job.id]
    service.request_cancel(alone.store, job.id, ANN)  # so that nobody claims it again
    before = service.curve(alone.store, job.id)
    os.kill(alone.workers[-1].pid, signal.SIGCONT)
    alone.until(lambda: has_ended(trainer), seconds=20)
    assert service.curve(alone.store, job.id) == before
    assert "no longer holds job" in alone.log()
    assert alone.job(job).state == "cancelled"


def test_divergence_fails_with_epoch_and_step_and_keeps_the_last_good_checkpoint(
    alone: Stage,
) -> None:
    job = alone.submit(**ENDLESS)
    alone.start_worker()
    alone.until_training(job)
    service.request_pause(alone.store, job.id, ANN)
    good = alone.until_state(job, "paused").step
    bad = alone.submit(training__optimizer="sgd", training__learning_rate=1e30)
    bad = alone.until_state(bad, "failed")
    assert bad.attempt == 1  # a user's error is not tried again
    assert "loss became" in (bad.error or "")
    assert "epoch 1 at step" in (bad.error or "")
    kept = checkpoints.checkpoints(alone.store, job.id)
    assert max(row.step for row in kept) == good


def test_a_trainer_has_no_way_to_the_database(stage: Stage) -> None:
    job = stage.submit(**ENDLESS)
    stage.start_worker()
    trainer = stage.until_training(job)
    environment = trainer.environ()
    assert not {k for k in environment if k.endswith(("DATABASE_URL", "BROKER_URL"))}
    connections = [c for c in trainer.net_connections(kind="all") if "PGSQL" in str(c.laddr)]
    assert connections == []
    assert not [f.path for f in trainer.open_files() if f.path.endswith(".db")]
    assert os.getpgid(trainer.pid) == trainer.pid


def test_a_tethered_worker_hands_over_when_its_parent_is_gone(alone: Stage) -> None:
    job = alone.submit(**ENDLESS)
    worker = alone.start_worker("--only", str(job.id), "--tethered", stdin=subprocess.PIPE)
    alone.until_training(job)
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(60) == 0
    assert alone.job(job).state == "queued"


def test_only_means_this_job_and_then_the_end(alone: Stage) -> None:
    other, job = alone.submit(), alone.submit()
    worker = alone.start_worker("--only", str(job.id))
    assert worker.wait(120) == 0
    assert alone.job(job).state == "succeeded"
    assert alone.job(other).state == "queued"


def test_two_workers_share_jobs_and_double_none(stage: Stage) -> None:
    jobs = [stage.submit(training__epochs=10) for _ in range(6)]
    stage.start_worker("--name", "one")
    stage.start_worker("--name", "two")
    for job in jobs:
        assert stage.until_state(job, "succeeded").attempt == 1, stage.messages(job)
    workers = {
        attempt.worker for job in jobs for attempt in service.details(stage.store, job.id).attempts
    }
    assert workers <= {"one", "two"}


def test_a_wrong_option_is_one_line(alone: Stage) -> None:
    worker = alone.start_worker("--devices", "9")
    assert worker.wait(30) == 1
    assert alone.log().count("\n") == 1
    assert "GPU indices" in alone.log()
