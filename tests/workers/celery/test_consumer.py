"""Workers and a broker with faults: jobs start all the same, and workers receive messages again."""

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
from worker_cluster import ENDLESS, TEXT, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from versemill.jobs.views import JobView

pytestmark = pytest.mark.timeout(400)

START_SECONDS = 10.0
"""Seconds after which a job has started, whatever the broker does."""
RECEIVED_SECONDS = 60.0
"""Seconds after which a worker receives messages again."""


def open_cluster(home: Path, url: str, broker_url: str) -> closing[Cluster]:
    home.mkdir(exist_ok=True)
    return closing(Cluster(home, url, broker_url))


@pytest.fixture
def with_broker(tmp_path: Path, sqlite_url: str, redis: Valkey) -> Iterator[Cluster]:
    """An installation with a broker."""
    with open_cluster(tmp_path, sqlite_url, redis.url) as opened:
        yield opened


@pytest.fixture
def with_worker(with_broker: Cluster) -> Cluster:
    """The same, with a worker that listens."""
    with_broker.start_worker()
    await_listening(with_broker)
    return with_broker


@pytest.fixture
def app(redis: Valkey) -> Celery:
    return celery_client.app(redis.url)


def wake(broker_url: str) -> None:
    settings = replace(Settings.from_environment(), broker_url=broker_url)
    assert celery_client.wake(settings)() is None


def await_listening(cluster: Cluster, *, times: int = 1) -> None:
    cluster.until(lambda: cluster.log().count(": listening") >= times)


def await_warm(cluster: Cluster) -> None:
    """Waits until a worker can start trainers; before, it claims nothing."""
    cluster.until(lambda: any(worker.machines for worker in service.live_workers(cluster.store)))


def await_messages_taken(
    cluster: Cluster, redis: Valkey, *, seconds: float = RECEIVED_SECONDS
) -> None:
    """Waits until the worker has taken every message."""
    client = redis.client()
    cluster.until(lambda: client.llen(celery_client.QUEUE) == 0, seconds=seconds)
    client.close()


def start_in_time(cluster: Cluster, job: JobView) -> None:
    cluster.until(lambda: cluster.job(job).state != "queued", seconds=START_SECONDS)


def test_a_worker_runs_without_a_broker_and_uses_one_that_starts_later(
    tmp_path: Path, sqlite_url: str
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    redis = Valkey(folder)
    with open_cluster(tmp_path, sqlite_url, redis.url) as cluster:
        cluster.start_worker("--slots", "4")
        cluster.until(lambda: "does not answer" in cluster.log())
        running = cluster.submit(**ENDLESS)
        cluster.until_training(running)
        with redis:
            await_listening(cluster)
            wake(redis.url)
            await_messages_taken(cluster, redis)

            redis.kill()
            start_in_time(cluster, cluster.submit())

            redis.start()  # it keeps nothing: empty
            await_listening(cluster, times=2)
            wake(redis.url)
            await_messages_taken(cluster, redis)

            client = redis.client()
            client.flushall()
            client.close()
            start_in_time(cluster, cluster.submit())
            wake(redis.url)
            await_messages_taken(cluster, redis)
        now = cluster.job(running)
        assert (now.state, now.attempt) == ("running", 1)
        # Without a broker again, a worker still ends when it is told to.
        cluster.workers[0].terminate()
        assert cluster.workers[0].wait(30) == 0
        assert cluster.job(running).state == "queued"
        assert "Traceback" not in cluster.log()


def test_a_message_that_waits_in_a_worker_is_dropped_with_the_connection(
    with_broker: Cluster, redis: Valkey
) -> None:
    """Celery would send it back or, as that fails, write it to a file in pickle."""
    scratch = with_broker.home / "scratch"
    scratch.mkdir()
    with_broker.environment["TMPDIR"] = str(scratch)
    with_broker.start_worker()
    await_listening(with_broker)
    with_broker.until_training(with_broker.submit(**ENDLESS))  # its one slot is taken
    wake(redis.url)
    await_messages_taken(with_broker, redis)
    redis.kill()
    with_broker.until(lambda: "connecting anew" in with_broker.log())
    redis.start()
    await_listening(with_broker, times=2)
    assert "RESTORE" not in with_broker.log()
    assert [path for path in scratch.rglob("*") if path.is_file()] == []


def test_messages_doubled_early_or_lost_change_nothing(with_worker: Cluster, redis: Valkey) -> None:
    for _ in range(20):
        wake(redis.url)  # before its job is there
    job = with_worker.submit()
    for _ in range(20):
        wake(redis.url)
    unannounced = with_worker.submit()
    for one in (job, unannounced):
        ended = with_worker.until_state(one, "succeeded")
        assert ended.attempt == 1
        assert sum(m.startswith("claimed") for m in with_worker.messages(one)) == 1
    await_messages_taken(with_worker, redis)


def test_a_job_is_seen_by_inspect_and_commands_are_refused(
    with_worker: Cluster, redis: Valkey, app: Celery
) -> None:
    inspect = app.control.inspect(timeout=5, limit=1)
    (name,) = with_worker.until(inspect.ping)

    def runs_by_message() -> Any:
        """The poller may be quicker than a message; then the next job has its chance."""
        job = with_worker.submit(**ENDLESS)
        wake(redis.url)
        with_worker.until_training(job)
        seen = inspect.active()[name]
        service.request_cancel(with_worker.store, job.id, ANN)
        with_worker.until_state(job, "cancelled")
        return seen

    (task,) = with_worker.until(runs_by_message)
    assert task["name"] == celery_client.TASK
    for order in ("shutdown", "pool_shrink", "cancel_consumer"):
        (reply,) = app.control.broadcast(order, reply=True, timeout=5, limit=1)
        assert "questions only" in reply[name]["error"]
    assert inspect.ping() == {name: {"ok": "pong"}}


def message_bytes(
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
    "a pickle": message_bytes(b"\x80\x04N.", kind="application/x-python-serialize"),
    "an unknown task": message_bytes(CALL, task="os.system"),
    "arguments": message_bytes(CALL.replace(b"[]", b'["touch"]')),
    "a chain": message_bytes(CALL.replace(b'"chain": null', b'"chain": [{"task": "os.system"}]')),
    "no call": message_bytes(b"17"),
    "compressed": message_bytes(zlib.compress(CALL), compression="application/x-gzip"),
    "an unknown compression": message_bytes(b"swordfish", compression="swordfish"),
    "an odd compression": message_bytes(CALL, compression=["swordfish"]),
    "a number for a type": message_bytes(CALL).replace(b'"application/json"', b"17"),
}
NO_MESSAGE = {
    "bytes": b"\x80\x04N.",
    "no JSON": b"{",
    "a number": b"17",
    "an empty object": b"{}",
    "a number for a body": message_bytes(CALL).replace(b'"body": "', b'"body": 17, "was": "'),
}


def test_unknown_messages_are_dropped_with_one_line(with_worker: Cluster, redis: Valkey) -> None:
    huge = message_bytes(b"[" + b" " * 75_000_000 + b"]")  # 100 MB
    client = redis.client()
    for said, sent in [
        ("dropped a message", [*NOT_OURS.values(), huge]),
        ("connecting anew", NO_MESSAGE.values()),
    ]:
        for number, what in enumerate(sent, start=1):
            client.lpush(celery_client.QUEUE, what)
            with_worker.until(
                lambda said=said, number=number: with_worker.log().count(said) == number
            )
    client.close()
    job = with_worker.submit()
    wake(redis.url)
    await_messages_taken(with_worker, redis)
    with_worker.until_state(job, "succeeded")
    log = with_worker.log()
    assert max(map(len, log.splitlines())) < 400
    assert "Traceback" not in log
    assert "touch" not in log
    assert "swordfish" not in log


def compressed_zeros(megabytes: int) -> bytes:
    """Compressed zeros."""
    packer = bz2.BZ2Compressor()
    zeros = bytes(2**20)
    return b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()


def most_memory(cluster: Cluster) -> int:
    """Most that the worker's own process has taken so far, in bytes."""
    status = Path(f"/proc/{cluster.workers[0].pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def test_small_messages_never_become_large(
    with_worker: Cluster, redis: Valkey, app: Celery
) -> None:
    await_warm(with_worker)
    client = redis.client()
    before = most_memory(with_worker)
    packed = compressed_zeros(400)
    assert len(packed) < 50_000
    client.lpush(celery_client.QUEUE, message_bytes(packed, compression="application/x-bz2"))
    client.lpush(celery_client.QUEUE, b'{"body": ' + b"[" * 20_000_000 + b"]" * 20_000_000 + b"}")
    with_worker.until(lambda: with_worker.log().count("dropped a message") == 2)
    # The same over the remote control, where every worker gets it.
    order = {"method": "ping", "arguments": {}, "destination": None}
    exchange = app.control.mailbox.exchange
    with app.connection_for_write() as connection:
        connection.Producer(serializer="json").publish(
            order, exchange=exchange, declare=[exchange], compression="bzip2"
        )
    with_worker.until(lambda: with_worker.log().count("dropped a message") == 3, seconds=30)
    client.close()
    assert most_memory(with_worker) - before < 200_000_000
    assert "Traceback" not in with_worker.log()


def test_workers_cannot_be_selected_by_regular_expression(
    with_worker: Cluster, app: Celery
) -> None:
    (name,) = with_worker.until(app.control.inspect(timeout=5, limit=1).ping)
    choice = {"pattern": "(.*)*" * 10 + "!", "matcher": "pcre"}
    assert app.control.broadcast("ping", reply=True, timeout=2, **choice) == []
    assert app.control.inspect(timeout=5, limit=1).ping() == {name: {"ok": "pong"}}


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.EMPTY], ids=["half-open", "empty answers"])
def test_a_worker_that_receives_no_messages_reconnects(
    tmp_path: Path, sqlite_url: str, redis: Valkey, mode: Mode
) -> None:
    with LossyProxy(redis.port) as proxy, open_cluster(tmp_path, sqlite_url, proxy.url) as cluster:
        cluster.start_worker()
        await_listening(cluster)
        await_warm(cluster)
        proxy.change(mode)
        if mode is Mode.EMPTY:  # nothing that was asked before is still to be answered
            cluster.until(lambda: proxy.swallowed)
        job = cluster.submit()
        wake(redis.url)
        start_in_time(cluster, job)
        await_messages_taken(cluster, redis)
        assert mode is Mode.SILENT or "messages wait, and none arrives" in cluster.log()
        assert cluster.workers[0].poll() is None


def test_no_password_is_logged(tmp_path: Path, sqlite_url: str) -> None:
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
    with redis, open_cluster(tmp_path, sqlite_url, "") as cluster:
        for number, (url, broker_url, printed) in enumerate(urls):
            cluster.environment["VERSEMILL_DATABASE_URL"] = url
            cluster.environment["VERSEMILL_BROKER_URL"] = broker_url
            worker = cluster.start_worker()
            cluster.until(lambda number=number, printed=printed: printed in cluster.log(number))
            if printed == "does not answer":
                worker.send_signal(signal.SIGTERM)
            worker.wait(60)
            log = cluster.log(number)
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
        open_cluster(tmp_path, sqlite_url, redis.url) as cluster,
        closing(redis.client()) as client,
    ):
        wake(redis.url)
        (message,) = client.lrange(celery_client.QUEUE, 0, -1)
        assert b"swordfish" not in message
        cluster.start_worker()
        await_listening(cluster)
        inspect = celery_client.app(redis.url).control.inspect(timeout=5, limit=1)
        cluster.until(inspect.ping)
        conf = str(inspect.conf(with_defaults=True))
        assert f"127.0.0.1:{redis.port}" in conf
        assert "swordfish" not in conf
        assert "swordfish" not in str(inspect.stats())


def final(cluster: Cluster, job: JobView) -> Checkpoint:
    (row,) = [row for row in checkpoints.checkpoints(cluster.store, job.id) if row.is_final]
    path = cluster.home / f"final-{job.id}.safetensors"
    path.write_bytes(b"".join(checkpoints.read_checkpoint(cluster.store, row.id)))
    return read(path)


JOB = """
corpus = "song.txt"
prefixes = ["分开"]
model = { hidden_size = 16, embedding_size = 8, dropout = 0.2 }
training = { batch_size = 4, window = 10, epochs = 30 }
"""


def submit_from(client_home: Path, cluster: Cluster) -> tuple[JobView, str]:
    """Submits `JOB` by command, as somebody with a home of their own and the cluster's two URLs.

    Returns:
        The job, and what the command remarked.
    """
    client_home.mkdir()
    (client_home / "job.toml").write_text(JOB)
    (client_home / "song.txt").write_text("\n\n".join(TEXT.songs))
    done = subprocess.run(
        [sys.executable, "-m", "versemill", "submit", "job.toml", "--json"],
        env=cluster.environment | {"VERSEMILL_HOME": str(client_home)},
        cwd=client_home,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return service.find(cluster.store, str(json.loads(done.stdout)["id"])), done.stderr


def test_a_submit_without_its_broker_succeeds_with_one_line(
    tmp_path: Path, sqlite_url: str
) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    with open_cluster(tmp_path, sqlite_url, url) as cluster:
        job, remarks = submit_from(tmp_path / "client", cluster)
    assert job.state == "queued"
    (line,) = [line for line in remarks.splitlines() if "broker" in line]
    assert "the job is safe" in line
    assert "hunter2" not in remarks


def test_weights_are_the_same_on_one_machine_and_on_several(
    tmp_path: Path, postgres_url: str, redis: Valkey
) -> None:
    """Submitted from one home, worked on in others that share nothing but the two URLs."""
    sqlite_single = f"sqlite:///{tmp_path / 'single.db'}"
    with open_cluster(tmp_path / "single", sqlite_single, "") as single:
        job, _ = submit_from(tmp_path / "single-client", single)
        single.start_worker()
        single.until_state(job, "succeeded")
        expected = final(single, job)
    with (
        open_cluster(tmp_path / "here", postgres_url, redis.url) as here,
        open_cluster(tmp_path / "there", postgres_url, redis.url) as there,
    ):
        here.start_worker("--name", "here")
        there.start_worker("--name", "there")
        kept_busy = here.submit(**ENDLESS)
        here.until(lambda: here.job(kept_busy).step > 0)
        job, remarks = submit_from(tmp_path / "client", here)
        assert "broker" not in remarks
        here.until_state(job, "succeeded")
        got = final(here, job)
        workers = {here.messages(one)[1] for one in (kept_busy, job)}
    assert workers == {"claimed by worker here", "claimed by worker there"}
    assert got.tensors.keys() == expected.tensors.keys()
    for name, tensor in got.tensors.items():
        assert tensor.equal(expected.tensors[name]), name
