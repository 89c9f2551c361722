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
from versemill_workers.slots import BACKOFF_SECONDS
from versemill_workers.supervisor.attempt import STOP_SECONDS
from worker_cluster import ENDLESS, LONG, Cluster, has_ended

if TYPE_CHECKING:
    from versemill.jobs.views import JobView

pytestmark = pytest.mark.timeout(400)  # each waits long enough for a busy machine


def final(cluster: Cluster, job: JobView) -> Checkpoint:
    """The final checkpoint of a job, through the database's checksums."""
    (row,) = [row for row in checkpoints.checkpoints(cluster.store, job.id) if row.is_final]
    path = cluster.home / f"final-{job.id}.safetensors"
    path.write_bytes(b"".join(checkpoints.read_checkpoint(cluster.store, row.id)))
    return read(path)


def assert_same_end(cluster: Cluster, one: JobView, other: JobView) -> None:
    """Equal to the last bit: weights, optimizer, curve and lyrics."""
    ours, theirs = final(cluster, one), final(cluster, other)
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in ours.tensors.items():
        assert tensor.equal(theirs.tensors[name]), name
    assert ours.meta == theirs.meta
    curves = [
        [(p.step, p.epoch, p.train_perplexity, p.valid_perplexity) for p in curve]
        for curve in (service.curve(cluster.store, job.id) for job in (one, other))
    ]
    assert curves[0] == curves[1]
    texts = [
        [(lyric.step, lyric.prefix, lyric.text) for lyric in service.lyrics(cluster.store, job.id)]
        for job in (one, other)
    ]
    assert texts[0] == texts[1]


def test_a_job_is_trained_to_its_end_and_leaves_everything(cluster: Cluster) -> None:
    job = cluster.submit()
    cluster.start_worker()
    job = cluster.until_state(job, "succeeded")
    assert [p.epoch for p in service.curve(cluster.store, job.id)] == list(range(1, 31))
    assert all(p.valid_perplexity for p in service.curve(cluster.store, job.id))
    lyrics = service.lyrics(cluster.store, job.id)
    assert len(lyrics) == 3
    assert all(lyric.text.startswith("分开") for lyric in lyrics)
    kept = checkpoints.checkpoints(cluster.store, job.id)
    for flag in ("is_last", "is_best", "is_final"):
        assert sum(getattr(row, flag) for row in kept) == 1
    assert job.epoch == job.epochs == 30
    assert job.valid_perplexity == service.curve(cluster.store, job.id)[-1].valid_perplexity
    assert cluster.messages(job)[-1].startswith("trained to its end")


def test_a_worker_leaves_no_files(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit()
    worker = sqlite_cluster.start_worker()
    sqlite_cluster.until_state(job, "succeeded")
    spool = sqlite_cluster.home / "spool"
    # The job's own folder goes right after its result is recorded.
    sqlite_cluster.until(lambda: [path.suffix for path in spool.iterdir()] == [".lock"])
    worker.terminate()
    assert worker.wait(60) == 0
    assert list(spool.iterdir()) == []


def test_a_killed_trainer_is_resumed_to_the_same_end(sqlite_cluster: Cluster) -> None:
    long = LONG | {"model.dropout": 0.2}
    undisturbed, disturbed = sqlite_cluster.submit(**long), sqlite_cluster.submit(**long)
    sqlite_cluster.start_worker()
    sqlite_cluster.until_state(undisturbed, "succeeded")
    first = sqlite_cluster.until_checkpoint(disturbed)
    sqlite_cluster.until_training(disturbed).kill()
    sqlite_cluster.until(
        lambda: any("killed by signal 9" in m for m in sqlite_cluster.messages(disturbed))
    )
    sqlite_cluster.until_checkpoint(disturbed, after=first)
    ended = sqlite_cluster.until_state(disturbed, "succeeded")
    assert ended.attempt >= 2
    assert any(m.startswith("resumed from step") for m in sqlite_cluster.messages(disturbed))
    assert_same_end(sqlite_cluster, undisturbed, disturbed)


def test_a_job_killed_before_any_checkpoint_starts_from_scratch(sqlite_cluster: Cluster) -> None:
    sqlite_cluster.environment["VERSEMILL_CHECKPOINT_SECONDS"] = "600"
    long = LONG
    undisturbed, disturbed = sqlite_cluster.submit(**long), sqlite_cluster.submit(**long)
    sqlite_cluster.start_worker()
    sqlite_cluster.until_state(undisturbed, "succeeded")
    sqlite_cluster.until_training(disturbed).kill()
    sqlite_cluster.until_state(disturbed, "succeeded")
    assert any(m.startswith("from the beginning") for m in sqlite_cluster.messages(disturbed))
    assert_same_end(sqlite_cluster, undisturbed, disturbed)


def test_pause_and_resume_change_nothing(sqlite_cluster: Cluster) -> None:
    long = LONG | {"cell": "lstm"}
    undisturbed, disturbed = sqlite_cluster.submit(**long), sqlite_cluster.submit(**long)
    sqlite_cluster.start_worker()
    sqlite_cluster.until_state(undisturbed, "succeeded")
    sqlite_cluster.until_training(disturbed)
    service.request_pause(sqlite_cluster.store, disturbed.id, ANN)
    paused = sqlite_cluster.until_state(disturbed, "paused")
    assert 0 < paused.step < sqlite_cluster.job(undisturbed).step
    service.resume(sqlite_cluster.store, disturbed.id, ANN)
    sqlite_cluster.until_state(disturbed, "succeeded")
    assert_same_end(sqlite_cluster, undisturbed, disturbed)


def test_more_epochs_equal_a_longer_job(sqlite_cluster: Cluster) -> None:
    short = sqlite_cluster.submit(training__epochs=20, training__schedule="constant")
    long = sqlite_cluster.submit(training__epochs=30, training__schedule="constant")
    sqlite_cluster.start_worker()
    sqlite_cluster.until_state(short, "succeeded")
    service.resume(sqlite_cluster.store, short.id, ANN, epochs=30)
    sqlite_cluster.until_state(short, "succeeded")
    sqlite_cluster.until_state(long, "succeeded")
    assert_same_end(sqlite_cluster, short, long)


def test_a_worker_without_a_spool_does_not_start(sqlite_cluster: Cluster) -> None:
    (sqlite_cluster.home / "spool").write_text("not a folder")
    worker = sqlite_cluster.start_worker()
    assert worker.wait(60) == 1
    assert sqlite_cluster.log().count("\n") == 1
    assert "set VERSEMILL_HOME to a folder" in sqlite_cluster.log()


def test_a_broken_worker_logs_it_and_does_not_claim_job_after_job(sqlite_cluster: Cluster) -> None:
    spool = sqlite_cluster.home / "spool"
    sqlite_cluster.start_worker("--name", "broken")
    sqlite_cluster.until_ready()
    shutil.rmtree(spool)
    spool.write_text("not a folder")
    began = time.monotonic()
    jobs = [sqlite_cluster.submit() for _ in range(3)]
    sqlite_cluster.until(
        lambda: any("is in trouble" in m for job in jobs for m in sqlite_cluster.messages(job))
    )
    time.sleep(2)  # it has looked for work four times by then
    attempts = sum(sqlite_cluster.job(job).attempt for job in jobs)
    assert 1 <= attempts <= 1 + (time.monotonic() - began) // BACKOFF_SECONDS
    assert [sqlite_cluster.job(job).state for job in jobs] == ["queued"] * 3


def test_files_of_a_frozen_worker_are_left_alone(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    frozen = sqlite_cluster.start_worker()
    sqlite_cluster.until_training(job)
    files = list((sqlite_cluster.home / "spool").glob("*-job-*/corpus"))
    sqlite_cluster.freeze(frozen)
    with sqlite_cluster.store.unit_of_work() as uow:
        uow.execute(delete(Worker))  # as sweeping does to one that has not been seen for long
        uow.commit()
    other = sqlite_cluster.start_worker()
    sqlite_cluster.until(lambda: service.live_workers(sqlite_cluster.store))
    other.terminate()
    assert other.wait(60) == 0
    assert [path for path in files if not path.exists()] == []
    os.kill(frozen.pid, signal.SIGCONT)


def test_what_killed_workers_left_is_removed(sqlite_cluster: Cluster) -> None:
    left = sqlite_cluster.home / "spool" / "3b1c1a52-0000-0000-0000-000000000000-job-7-1"
    left.mkdir(parents=True)
    job = sqlite_cluster.submit()
    sqlite_cluster.start_worker()
    sqlite_cluster.until_state(job, "succeeded")
    assert not left.exists()


def test_cancel_keeps_a_checkpoint_and_retry_goes_on_from_it(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    sqlite_cluster.until_training(job)
    asked = time.monotonic()
    service.request_cancel(sqlite_cluster.store, job.id, ANN)
    job = sqlite_cluster.until_state(job, "cancelled")
    assert time.monotonic() - asked < 20
    (row,) = [r for r in checkpoints.checkpoints(sqlite_cluster.store, job.id) if r.is_last]
    assert row.step == job.step
    sqlite_cluster.until(lambda: sqlite_cluster.trainer() is None)
    service.retry(sqlite_cluster.store, job.id, ANN)
    sqlite_cluster.until_training(job)
    assert f"resumed from step {row.step:,}" in sqlite_cluster.messages(job)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_hands_over(sqlite_cluster: Cluster, number: signal.Signals) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    worker = sqlite_cluster.start_worker()
    sqlite_cluster.until_training(job)
    worker.send_signal(number)
    assert worker.wait(60) == 0
    job = sqlite_cluster.job(job)
    assert job.state == "queued"
    message = f"handed over at step {job.step:,}, since worker {socket.gethostname()} ends"
    assert sqlite_cluster.messages(job)[-1] == message
    assert service.live_workers(sqlite_cluster.store) == []
    sqlite_cluster.start_worker()
    sqlite_cluster.until_training(job)
    assert f"resumed from step {job.step:,}" in sqlite_cluster.messages(job)


def test_the_second_signal_ends_at_once(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    worker = sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    trainer.suspend()  # so that no checkpoint comes and the first signal alone would take long
    worker.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)

    def ended() -> bool:
        worker.terminate()  # again, since one that comes before another was noticed adds nothing
        return worker.poll() is not None

    sqlite_cluster.until(ended, seconds=STOP_SECONDS / 2)
    assert worker.returncode == 1
    sqlite_cluster.until(lambda: has_ended(trainer))


def test_a_killed_workers_trainer_ends_and_its_job_goes_on_elsewhere(cluster: Cluster) -> None:
    job = cluster.submit(**ENDLESS)
    worker = cluster.start_worker("--name", "killed")
    trainer = cluster.until_training(job)
    cluster.until_checkpoint(job)
    worker.kill()
    worker.wait()
    cluster.until(lambda: has_ended(trainer), seconds=20)
    cluster.expire_lease(job)
    assert recovery.sweep(cluster.store) == [job.id]
    assert any("worker killed was lost at step" in m for m in cluster.messages(job))
    cluster.start_worker("--name", "successor")
    cluster.until(lambda: any(m.startswith("resumed") for m in cluster.messages(job)))


def test_a_fenced_off_worker_kills_its_trainer_and_writes_nothing_more(
    sqlite_cluster: Cluster,
) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    trainer = sqlite_cluster.until_training(job)
    sqlite_cluster.freeze(sqlite_cluster.workers[-1])
    sqlite_cluster.expire_lease(job)
    assert recovery.sweep(sqlite_cluster.store) == [job.id]
    service.request_cancel(sqlite_cluster.store, job.id, ANN)  # so that nobody claims it again
    before = service.curve(sqlite_cluster.store, job.id)
    os.kill(sqlite_cluster.workers[-1].pid, signal.SIGCONT)
    sqlite_cluster.until(lambda: has_ended(trainer), seconds=20)
    assert service.curve(sqlite_cluster.store, job.id) == before
    assert "no longer holds job" in sqlite_cluster.log()
    assert sqlite_cluster.job(job).state == "cancelled"


def test_divergence_fails_with_epoch_and_step_and_keeps_the_last_good_checkpoint(
    sqlite_cluster: Cluster,
) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker()
    sqlite_cluster.until_training(job)
    service.request_pause(sqlite_cluster.store, job.id, ANN)
    good = sqlite_cluster.until_state(job, "paused").step
    bad = sqlite_cluster.submit(training__optimizer="sgd", training__learning_rate=1e30)
    bad = sqlite_cluster.until_state(bad, "failed")
    assert bad.attempt == 1  # a user's error is not tried again
    assert "loss became" in (bad.error or "")
    assert "epoch 1 at step" in (bad.error or "")
    kept = checkpoints.checkpoints(sqlite_cluster.store, job.id)
    assert max(row.step for row in kept) == good


def test_a_trainer_has_no_way_to_the_database(cluster: Cluster) -> None:
    job = cluster.submit(**ENDLESS)
    cluster.start_worker()
    trainer = cluster.until_training(job)
    environment = trainer.environ()
    assert not {k for k in environment if k.endswith(("DATABASE_URL", "BROKER_URL"))}
    connections = [c for c in trainer.net_connections(kind="all") if "PGSQL" in str(c.laddr)]
    assert connections == []
    assert not [f.path for f in trainer.open_files() if f.path.endswith(".db")]
    assert os.getpgid(trainer.pid) == trainer.pid


def test_a_worker_with_end_with_parent_hands_over_when_its_parent_has_ended(
    sqlite_cluster: Cluster,
) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    worker = sqlite_cluster.start_worker(
        "--only", str(job.id), "--end-with-parent", stdin=subprocess.PIPE
    )
    sqlite_cluster.until_training(job)
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(60) == 0
    assert sqlite_cluster.job(job).state == "queued"


def test_only_means_this_job_and_then_the_end(sqlite_cluster: Cluster) -> None:
    other, job = sqlite_cluster.submit(), sqlite_cluster.submit()
    worker = sqlite_cluster.start_worker("--only", str(job.id))
    assert worker.wait(120) == 0
    assert sqlite_cluster.job(job).state == "succeeded"
    assert sqlite_cluster.job(other).state == "queued"


def test_two_workers_share_jobs_and_run_none_twice(cluster: Cluster) -> None:
    jobs = [cluster.submit(training__epochs=10) for _ in range(6)]
    cluster.start_worker("--name", "one")
    cluster.start_worker("--name", "two")
    for job in jobs:
        assert cluster.until_state(job, "succeeded").attempt == 1, cluster.messages(job)
    workers = {
        attempt.worker
        for job in jobs
        for attempt in service.details(cluster.store, job.id).attempts
    }
    assert workers <= {"one", "two"}


def test_a_wrong_option_is_one_line(sqlite_cluster: Cluster) -> None:
    worker = sqlite_cluster.start_worker("--devices", "9")
    assert worker.wait(30) == 1
    assert sqlite_cluster.log().count("\n") == 1
    assert "GPU indices" in sqlite_cluster.log()
