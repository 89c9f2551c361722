"""Part of `job_queue`: how many jobs a second, beside bare Celery; how long a claim takes."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import bare_celery
from queue_ground import OWNERS, Figure, fill_with_jobs, work

from versemill.jobs import service
from versemill.jobs.devices import ANY_CPU
from versemill.jobs.execution import worker_api
from versemill.jobs.states import State
from versemill.jobs.storage.unit_of_work import Store
from versemill.plugins.registry import Registry
from versemill.plugins.requirements import offered

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Event
    from pathlib import Path

    from queue_ground import Ground, Report

THREADS = 4
WAITING = 10_000
DEVICES = (replace(ANY_CPU, machine="a kind of machine"),)  # so that claims ask what workers' do
UNFIT = 100_000
CHUNKS = 3


def measure(ground: Ground, report: Report) -> None:
    """Every figure of this part."""
    seconds = 1.5 if ground.quick else 3.0
    rounds = 2 if ground.quick else 3
    report.title("jobs a second (median of rounds, in turn with bare Celery)")
    measured = [_round(ground, seconds) for _ in range(rounds)]
    asked = {"submits, PostgreSQL": 200.0, "no-op jobs, PostgreSQL": 100.0}
    for what in measured[0]:
        median = statistics.median(one[what] for one in measured)
        report.add(Figure(what, median, "/s", asked.get(what), at_least=True))
    report.title(f"a claim, {WAITING:,} runnable jobs of {OWNERS} owners")
    count = 200 if ground.quick else 500
    for kind in ("postgresql", "sqlite"):
        _claims(ground, report, kind, count)
    report.title(f"a claim behind {UNFIT:,} jobs whose plugin this worker has not")
    for kind in ("postgresql", "sqlite"):
        _claims_behind(ground, report, kind, count)


def _claims_behind(ground: Ground, report: Report, kind: str, count: int) -> None:
    """Claims of jobs that wait behind many that must be left to others."""
    fit = work()
    elsewhere = tuple(
        replace(one, distribution="somebody-elses", version="9") for one in fit.plugins
    )
    with ground.store(kind, connections=2) as store:
        fill_with_jobs(store, replace(fit, plugins=elsewhere), UNFIT, prefix="elsewhere-")
        for _ in range(count):
            service.enqueue(store, fit, service.Principal("owner-0"))
        plugins = offered(Registry.discover())
        worker = replace(worker_api.register_worker(store, "benchmark", 1), plugins=plugins)

        def claim() -> None:
            if worker_api.claim(store, worker, devices=DEVICES) is None:
                raise SystemExit("there were too few jobs")

        report.add(
            _slowest(
                {"postgresql": "PostgreSQL", "sqlite": "SQLite"}[kind], _timed(claim, count), 20.0
            )
        )


def _round(ground: Ground, seconds: float) -> dict[str, float]:
    """Each side once, one after the other."""
    published, consumed = bare_celery.rates(ground.redis.url, int(1000 * seconds))
    found = {"bare Celery: no-op messages published": published}
    found["bare Celery: no-op messages consumed, 4 threads"] = consumed
    for kind, name in (("postgresql", "PostgreSQL"), ("sqlite", "SQLite")):
        with ground.store(kind) as store:
            found[f"submits, {name}"] = _submits(store, seconds)
        with ground.store(kind) as store:
            fill_with_jobs(store, work(), WAITING, prefix="waiting-")
            found[f"no-op jobs, {name}"] = _no_ops(store, seconds)
    return found


def _submits(store: Store, seconds: float) -> float:
    """Submits a second by one thread: one commit each, of a text known after the first."""
    job = work()
    submitted, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        owner = service.Principal(f"owner-{submitted % OWNERS}")
        service.enqueue(store, job, owner)
        submitted += 1
    return submitted / spent


def _no_ops(store: Store, seconds: float) -> float:
    """Jobs a second that `THREADS` threads claim and finish, as a worker's slots would."""
    worker = worker_api.register_worker(store, "benchmark", THREADS)
    until = time.perf_counter() + seconds

    def slot() -> int:
        done = 0
        while time.perf_counter() < until:
            claim = worker_api.claim(store, worker, devices=DEVICES)
            if claim is None:
                raise SystemExit("there were too few jobs")
            worker_api.finish(store, claim, State.SUCCEEDED, message="nothing done", result={})
            done += 1
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        done = [pool.submit(slot) for _ in range(THREADS)]
        total = sum(one.result() for one in done)
    return total / (time.perf_counter() - began)


def _claims(ground: Ground, report: Report, kind: str, count: int) -> None:
    url = ground.database(kind)
    store = Store.open(url, connections=2)
    fill_with_jobs(store, work(), WAITING, prefix="waiting-")
    worker = worker_api.register_worker(store, "benchmark", 1)

    def claim() -> None:
        if worker_api.claim(store, worker, devices=DEVICES) is None:
            raise SystemExit("there were too few jobs")

    times = _timed(claim, count)
    if kind == "postgresql":
        report.add(_slowest("PostgreSQL", times, 20.0))
    else:
        fsync = statistics.median(_fsyncs(ground.folder))
        above = [seconds - fsync for seconds in times]
        report.add(Figure("fsync here, median", fsync * 1e3, "ms"))
        report.add(_slowest("SQLite, above that", above, 20.0))
        with _Writers(url) as writers:
            meanwhile = _timed(claim, count // 2, pause=0.02)
        what = f"SQLite, {THREADS} slots writing checkpoints ({writers.rate:.0f} MiB/s) meanwhile"
        report.add(_slowest(what, meanwhile, 250.0))
    store.close()


def _timed(action: Callable[[], None], count: int, *, pause: float = 0.0) -> list[float]:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
        time.sleep(pause)
    return times


def _slowest(what: str, times: list[float], asked: float) -> Figure:
    """The 99th percentile, in milliseconds."""
    p99 = statistics.quantiles(times, n=100, method="inclusive")[98] * 1e3
    middle, most = statistics.median(times) * 1e3, max(times) * 1e3
    remark = f"median {middle:.1f}, slowest of {len(times)} {most:.1f}"
    return Figure(f"{what}: p99", p99, "ms", asked, remark=remark)


def _fsyncs(folder: Path) -> list[float]:
    """Seconds that each of some fsyncs of one page takes."""
    with (folder / "fsync").open("wb", buffering=0) as file:

        def once() -> None:
            os.fsync(file.fileno())

        times = []
        for _ in range(200):
            file.write(bytes(4096))
            times += _timed(once, 1)
    return times


class _Writers:
    """A process like a worker's, whose slots store one checkpoint after the other."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready, self._stop = context.Event(), context.Event()
        self._chunks = context.Value("q", 0)
        arguments = (url, self._ready, self._stop, self._chunks)
        self._process = context.Process(target=write_checkpoints, args=arguments, daemon=True)
        self.rate = 0.0

    def __enter__(self) -> _Writers:
        self._process.start()
        if not self._ready.wait(60):
            raise SystemExit("the writers of checkpoints did not start")
        self._began, self._before = time.monotonic(), self._chunks.value
        return self

    def __exit__(self, *_: object) -> None:
        written = (self._chunks.value - self._before) * worker_api.CHUNK_BYTES / 2**20
        self.rate = written / (time.monotonic() - self._began)
        self._stop.set()
        self._process.join(60)
        if self._process.exitcode != 0:
            self._process.kill()
            raise SystemExit("the writers of checkpoints broke off")


def write_checkpoints(url: str, ready: Event, stop: Event, chunks: object) -> None:
    """Stores checkpoints of `CHUNKS` chunks for `THREADS` jobs until told to stop."""
    store = Store.open(url, connections=THREADS + 2)
    worker = worker_api.register_worker(store, "writer", THREADS)
    data = os.urandom(worker_api.CHUNK_BYTES)
    whole = sha256(data * CHUNKS).hexdigest()
    going = threading.Barrier(THREADS + 1)

    def slot() -> None:
        claim = worker_api.claim(store, worker, devices=DEVICES)
        assert claim is not None
        for step in range(1, 1_000_000):
            if stop.is_set():
                return
            number = worker_api.begin_checkpoint(
                store, claim, step=step, epoch=1, size=len(data) * CHUNKS, is_last=True
            )
            for chunk in range(CHUNKS):
                worker_api.add_chunk(store, claim, number, chunk, data)
                with chunks.get_lock():  # type: ignore[attr-defined]
                    chunks.value += 1  # type: ignore[attr-defined]
            worker_api.complete_checkpoint(store, claim, number, whole)
            if step == 1:
                going.wait()

    with ThreadPoolExecutor(THREADS) as pool:
        slots = [pool.submit(slot) for _ in range(THREADS)]
        going.wait()
        ready.set()
        for one in slots:
            one.result()
    store.close()
