"""Workers and a broker that fails them: jobs start all the same, and hearing comes back."""

from __future__ import annotations

import base64
import bz2
import json
import signal
import subprocess
import sys
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lossy_proxy import LossyProxy, Mode
from people import ANN
from servers import Valkey, free_port
from versemill.checkpoints.file import Checkpoint, read
from versemill.jobs import celery_client, service
from versemill.jobs.execution import checkpoints
from versemill.settings import Settings
from worker_stage import ENDLESS, TEXT, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from versemill.jobs.views import JobView

pytestmark = pytest.mark.timeout(400)

PROMISED = 10.0
"""Seconds after which a job has started, whatever the broker does."""
HEARING = 60.0
"""Seconds after which a worker hears again."""


def open_stage(home: Path, url: str, broker_url: str) -> closing[Stage]:
    home.mkdir(exist_ok=True)
    return closing(Stage(home, url, broker_url))


@pytest.fixture
def team(tmp_path: Path, sqlite_url: str, redis: Valkey) -> Iterator[Stage]:
    """An installation with a broker."""
    with open_stage(tmp_path, sqlite_url, redis.url) as opened:
        yield opened


@pytest.fixture
def listening(team: Stage) -> Stage:
    """The same, with a worker that listens."""
    team.start_worker()
    await_listening(team)
    return team


@pytest.fixture
def app(redis: Valkey) -> Celery:
    return celery_client.app(redis.url)


def wake(broker_url: str) -> None:
    settings = replace(Settings.from_environment(), broker_url=broker_url)
    assert celery_client.wake(settings)() is None


def await_listening(stage: Stage, *, times: int = 1) -> None:
    stage.until(lambda: stage.log().count(": listening") >= times)


def await_warm(stage: Stage) -> None:
    """Waits until a worker can start trainers; before, it claims nothing."""
    stage.until(lambda: any(worker.machines for worker in service.live_workers(stage.store)))


def await_heard(stage: Stage, redis: Valkey, *, seconds: float = HEARING) -> None:
    """Waits until the worker has taken every message."""
    client = redis.client()
    stage.until(lambda: client.llen(celery_client.QUEUE) == 0, seconds=seconds)
    client.close()


def start_in_time(stage: Stage, job: JobView) -> None:
    stage.until(lambda: stage.job(job).state != "queued", seconds=PROMISED)


def test_a_worker_needs_no_broker_and_takes_to_one_that_comes(
    tmp_path: Path, sqlite_url: str
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    redis = Valkey(folder)
    with open_stage(tmp_path, sqlite_url, redis.url) as stage:
        stage.start_worker("--slots", "4")
        stage.until(lambda: "does not answer" in stage.log())
        running = stage.submit(**ENDLESS)
        stage.until_training(running)
        with redis:
            await_listening(stage)
            wake(redis.url)
            await_heard(stage, redis)

            redis.kill()
            start_in_time(stage, stage.submit())

            redis.start()  # it keeps nothing: empty
            await_listening(stage, times=2)
            wake(redis.url)
            await_heard(stage, redis)

            client = redis.client()
            client.flushall()
            client.close()
            start_in_time(stage, stage.submit())
            wake(redis.url)
            await_heard(stage, redis)
        now = stage.job(running)
        assert (now.state, now.attempt) == ("running", 1)
        # Without a broker again, a worker still ends when it is told to.
        stage.workers[0].terminate()
        assert stage.workers[0].wait(30) == 0
        assert stage.job(running).state == "queued"
        assert "Traceback" not in stage.log()


def test_a_message_that_waits_in_a_worker_is_dropped_with_the_connection(
    team: Stage, redis: Valkey
) -> None:
    """Celery would send it back or, as that fails, write it to a file in pickle."""
    scratch = team.home / "scratch"
    scratch.mkdir()
    team.environment["TMPDIR"] = str(scratch)
    team.start_worker()
    await_listening(team)
    team.until_training(team.submit(**ENDLESS))  # its one slot is taken
    wake(redis.url)
    await_heard(team, redis)
    redis.kill()
    team.until(lambda: "connecting anew" in team.log())
    redis.start()
    await_listening(team, times=2)
    assert "RESTORE" not in team.log()
    assert [path for path in scratch.rglob("*") if path.is_file()] == []


def test_messages_doubled_early_or_lost_change_nothing(listening: Stage, redis: Valkey) -> None:
    for _ in range(20):
        wake(redis.url)  # before its job is there
    job = listening.submit()
    for _ in range(20):
        wake(redis.url)
    unannounced = listening.submit()
    for one in (job, unannounced):
        ended = listening.until_state(one, "succeeded")
        assert ended.attempt == 1
        assert sum(m.startswith("claimed") for m in listening.messages(one)) == 1
    await_heard(listening, redis)


def test_a_job_is_seen_by_inspect_and_orders_are_refused(
    listening: Stage, redis: Valkey, app: Celery
) -> None:
    inspect = app.control.inspect(timeout=5, limit=1)
    (name,) = listening.until(inspect.ping)

    def runs_by_message() -> Any:
        """The poller may be quicker than a message; then the next job has its chance."""
        job = listening.submit(**ENDLESS)
        wake(redis.url)
        listening.until_training(job)
        seen = inspect.active()[name]
        service.request_cancel(listening.store, job.id, ANN)
        listening.until_state(job, "cancelled")
        return seen

    (task,) = listening.until(runs_by_message)
    assert task["name"] == celery_client.TASK
    for order in ("shutdown", "pool_shrink", "cancel_consumer"):
        (reply,) = app.control.broadcast(order, reply=True, timeout=5, limit=1)
        assert "questions only" in reply[name]["error"]
    assert inspect.ping() == {name: {"ok": "pong"}}


def letter(
    body: bytes,
    *,
    task: str = celery_client.TASK,
    kind: str = "application/json",
    compression: object = None,
) -> bytes:
    """A message as kombu puts it into Redis."""
    headers = {"task": task, "id": "1"}
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": kind,
            "content-encoding": "utf-8",
            "headers": headers if compression is None else {**headers, "compression": compression},
            "properties": {
                "body_encoding": "base64",
                "delivery_tag": "1",
                "delivery_info": {"exchange": "", "routing_key": celery_client.QUEUE},
            },
        }
    ).encode()


CALL = b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
NOT_OURS = {
    "a pickle": letter(b"\x80\x04N.", kind="application/x-python-serialize"),
    "an unknown task": letter(CALL, task="os.system"),
    "arguments": letter(CALL.replace(b"[]", b'["touch"]')),
    "a chain": letter(CALL.replace(b'"chain": null', b'"chain": [{"task": "os.system"}]')),
    "no call": letter(b"17"),
    "compressed": letter(zlib.compress(CALL), compression="application/x-gzip"),
    "an unknown compression": letter(b"swordfish", compression="swordfish"),
    "an odd compression": letter(CALL, compression=["swordfish"]),
    "a number for a type": letter(CALL).replace(b'"application/json"', b"17"),
}
NO_MESSAGE = {
    "bytes": b"\x80\x04N.",
    "no JSON": b"{",
    "a number": b"17",
    "an empty object": b"{}",
    "a number for a body": letter(CALL).replace(b'"body": "', b'"body": 17, "was": "'),
}


def test_what_is_no_message_of_ours_costs_a_line(listening: Stage, redis: Valkey) -> None:
    huge = letter(b"[" + b" " * 75_000_000 + b"]")  # 100 MB
    client = redis.client()
    for said, sent in [
        ("dropped a message", [*NOT_OURS.values(), huge]),
        ("connecting anew", NO_MESSAGE.values()),
    ]:
        for number, what in enumerate(sent, start=1):
            client.lpush(celery_client.QUEUE, what)
            listening.until(lambda said=said, number=number: listening.log().count(said) == number)
    client.close()
    job = listening.submit()
    wake(redis.url)
    await_heard(listening, redis)
    listening.until_state(job, "succeeded")
    log = listening.log()
    assert max(map(len, log.splitlines())) < 400
    assert "Traceback" not in log
    assert "touch" not in log
    assert "swordfish" not in log


def bomb(megabytes: int) -> bytes:
    """Compressed zeros."""
    packer = bz2.BZ2Compressor()
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()


def most_memory(stage: Stage) -> int:
    """Most that the worker's own process has taken so far, in bytes."""
    status = Path(f"/proc/{stage.workers[0].pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def test_small_messages_never_become_large(listening: Stage, redis: Valkey, app: Celery) -> None:
    await_warm(listening)
    client = redis.client()
    before = most_memory(listening)
    packed = bomb(400)
    assert len(packed) < 50_000
    client.lpush(celery_client.QUEUE, letter(packed, compression="application/x-bz2"))
    client.lpush(celery_client.QUEUE, b'{"body": ' + b"[" * 20_000_000 + b"]" * 20_000_000 + b"}")
    listening.until(lambda: listening.log().count("dropped a message") == 2)
    # The same over the remote control, where every worker gets it.
    order = {"method": "ping", "arguments": {}, "destination": None}
    exchange = app.control.mailbox.exchange
    with app.connection_for_write() as connection:
        connection.Producer(serializer="json").publish(
            order, exchange=exchange, declare=[exchange], compression="bzip2"
        )
    listening.until(lambda: listening.log().count("dropped a message") == 3, seconds=30)
    client.close()
    assert most_memory(listening) - before < 200_000_000
    assert "Traceback" not in listening.log()


def test_workers_are_not_chosen_by_patterns_that_take_for_ever(
    listening: Stage, app: Celery
) -> None:
    (name,) = listening.until(app.control.inspect(timeout=5, limit=1).ping)
    choice = {"pattern": "(.*)*" * 10 + "!", "matcher": "pcre"}
    assert app.control.broadcast("ping", reply=True, timeout=2, **choice) == []
    assert app.control.inspect(timeout=5, limit=1).ping() == {name: {"ok": "pong"}}


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.DEAF], ids=["half-open", "deaf"])
def test_a_worker_that_hears_nothing_notices(
    tmp_path: Path, sqlite_url: str, redis: Valkey, mode: Mode
) -> None:
    with LossyProxy(redis.port) as proxy, open_stage(tmp_path, sqlite_url, proxy.url) as stage:
        stage.start_worker()
        await_listening(stage)
        await_warm(stage)
        proxy.change(mode)
        if mode is Mode.DEAF:  # nothing that was asked before is still to be answered
            stage.until(lambda: proxy.swallowed)
        job = stage.submit()
        wake(redis.url)
        start_in_time(stage, job)
        await_heard(stage, redis)
        assert mode is Mode.SILENT or "messages wait, and none arrives" in stage.log()
        assert stage.workers[0].poll() is None


def test_no_password_is_told(tmp_path: Path, sqlite_url: str) -> None:
    secret = "hunter2"
    folder = tmp_path / "redis"
    folder.mkdir()
    redis = Valkey(folder, password="swordfish")
    wrong_password = f"redis://:{secret}@127.0.0.1:{redis.port}/0"
    nobody = f"redis://:{secret}@127.0.0.1:{free_port()}/0"
    malformed = f"redis://:{secret[:3]}/{secret[3:]}@127.0.0.1:{redis.port}/0"
    database = f"postgresql://ann:{secret}@127.0.0.1:{free_port()}/versemill"
    urls = [
        (sqlite_url, wrong_password, "does not answer"),
        (sqlite_url, nobody, "does not answer"),
        (sqlite_url, malformed, "VERSEMILL_BROKER_URL"),
        (database, redis.url, "database"),
    ]
    with redis, open_stage(tmp_path, sqlite_url, "") as stage:
        for number, (url, broker_url, told) in enumerate(urls):
            stage.environment["VERSEMILL_DATABASE_URL"] = url
            stage.environment["VERSEMILL_BROKER_URL"] = broker_url
            worker = stage.start_worker()
            stage.until(lambda number=number, told=told: told in stage.log(number))
            if told == "does not answer":
                worker.send_signal(signal.SIGTERM)
            worker.wait(60)
            log = stage.log(number)
            assert "swordfish" not in log
            assert secret not in log, log
            assert secret[3:] not in log, log
            assert "Traceback" not in log


def test_what_is_sent_and_answered_over_the_broker_holds_no_password(
    tmp_path: Path, sqlite_url: str
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with (
        Valkey(folder, password="swordfish") as redis,
        open_stage(tmp_path, sqlite_url, redis.url) as stage,
        closing(redis.client()) as client,
    ):
        wake(redis.url)
        (message,) = client.lrange(celery_client.QUEUE, 0, -1)
        assert b"swordfish" not in message
        stage.start_worker()
        await_listening(stage)
        inspect = celery_client.app(redis.url).control.inspect(timeout=5, limit=1)
        stage.until(inspect.ping)
        conf = str(inspect.conf(with_defaults=True))
        assert f"127.0.0.1:{redis.port}" in conf
        assert "swordfish" not in conf
        assert "swordfish" not in str(inspect.stats())


def final(stage: Stage, job: JobView) -> Checkpoint:
    (row,) = [row for row in checkpoints.checkpoints(stage.store, job.id) if row.is_final]
    path = stage.home / f"final-{job.id}.safetensors"
    path.write_bytes(b"".join(checkpoints.read_checkpoint(stage.store, row.id)))
    return read(path)


JOB = """
corpus = "song.txt"
prefixes = ["分开"]
model = { hidden_size = 16, embedding_size = 8, dropout = 0.2 }
training = { batch_size = 4, window = 10, epochs = 30 }
"""


def submit_from(desk: Path, stage: Stage) -> tuple[JobView, str]:
    """Submits `JOB` by command, as somebody with a home of their own and the stage's two URLs.

    Returns:
        The job, and what the command remarked.
    """
    desk.mkdir()
    (desk / "job.toml").write_text(JOB)
    (desk / "song.txt").write_text("\n\n".join(TEXT.songs))
    done = subprocess.run(
        [sys.executable, "-m", "versemill", "submit", "job.toml", "--json"],
        env=stage.environment | {"VERSEMILL_HOME": str(desk)},
        cwd=desk,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return service.find(stage.store, str(json.loads(done.stdout)["id"])), done.stderr


def test_a_submit_without_its_broker_succeeds_with_one_line(
    tmp_path: Path, sqlite_url: str
) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    with open_stage(tmp_path, sqlite_url, url) as stage:
        job, remarks = submit_from(tmp_path / "desk", stage)
    assert job.state == "queued"
    (line,) = [line for line in remarks.splitlines() if "broker" in line]
    assert "the job is safe" in line
    assert "hunter2" not in remarks


def test_alone_or_as_a_team_the_weights_are_the_same(
    tmp_path: Path, postgres_url: str, redis: Valkey
) -> None:
    """Submitted from one home, worked on in others that share nothing but the two URLs."""
    solitary = f"sqlite:///{tmp_path / 'alone.db'}"
    with open_stage(tmp_path / "alone", solitary, "") as alone:
        job, _ = submit_from(tmp_path / "alone-desk", alone)
        alone.start_worker()
        alone.until_state(job, "succeeded")
        expected = final(alone, job)
    with (
        open_stage(tmp_path / "here", postgres_url, redis.url) as here,
        open_stage(tmp_path / "there", postgres_url, redis.url) as there,
    ):
        here.start_worker("--name", "here")
        there.start_worker("--name", "there")
        kept_busy = here.submit(**ENDLESS)
        here.until(lambda: here.job(kept_busy).step > 0)
        job, remarks = submit_from(tmp_path / "desk", here)
        assert "broker" not in remarks
        here.until_state(job, "succeeded")
        got = final(here, job)
        workers = {here.messages(one)[1] for one in (kept_busy, job)}
    assert workers == {"claimed by worker here", "claimed by worker there"}
    assert got.tensors.keys() == expected.tensors.keys()
    for name, tensor in got.tensors.items():
        assert tensor.equal(expected.tensors[name]), name
