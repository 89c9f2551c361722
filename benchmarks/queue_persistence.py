"""Part of `job_queue`: what it costs a training run that its progress is kept.

Two processes train the same job, sizes of the `default` recipe, endlessly, with the same number
of threads: a trainer under a real worker (PostgreSQL and Redis on this machine), and `Training`
iterated in a process of its own. They take turns of a few seconds, one stopped by SIGSTOP with all
that belongs to it while the other runs, so that whatever else the machine does hits both alike.
Two figures come of it.

- *Paired*: steps in a second of own time, the slopes of step over time compared. It holds all that
  persistence can cost, and the noise of the machine: its standard error, over groups of turns, is
  told, and where it is above one percent there is no verdict.
- *Accounted*: CPU time of everything that would not run without persistence (worker, supervisor,
  fork server, database server), plus the time in which the trainer writes checkpoints instead of
  training, by own time. An upper bound, since CPU time beside the trainer need not slow it down,
  and nearly free of noise.

Both err against Versemill: timers go on while a side is stopped, so that checkpoints (every 60 s),
renewals and looks at the database come up to twice as often as they should in own time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
from installation import environment, worker
from queue_ground import Figure, work

from versemill.jobs import service
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from queue_ground import Ground, Report

ASKED = 2.0
CHECKPOINT_SECONDS = 60
TURN_SECONDS = 4.0
GROUPS = 4
LOOK_SECONDS = 0.2
PATIENCE = 120.0
QUERY = "SELECT step FROM jobs"


@dataclass
class Side:
    """One of the two runs.

    Attributes:
        processes: all that is stopped while the other one runs.
        step: says which step it is at.
        own: seconds it has run since the beginning.
        seen: own time and step, whenever the step was seen to change, turn by turn.
    """

    processes: list[psutil.Process]
    step: Callable[[], int]
    own: float = 0.0
    seen: list[list[tuple[float, int]]] = field(default_factory=list)

    def halt(self) -> None:
        """Stops everything."""
        for process in self.processes:
            process.send_signal(signal.SIGSTOP)

    def go(self) -> None:
        """Lets everything go on."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)

    def turn(self) -> None:
        """Runs for `TURN_SECONDS` and notes its progress."""
        noted: list[tuple[float, int]] = []
        before = self.step()
        began = time.monotonic()
        self.go()
        while (spent := time.monotonic() - began) < TURN_SECONDS:
            if (now := self.step()) != before:
                noted.append((self.own + spent, now))
                before = now
            time.sleep(LOOK_SECONDS)
        self.halt()
        self.own += time.monotonic() - began
        self.seen.append(noted)

    def speed(self, turns: slice = slice(None)) -> float:
        """Steps a second over some turns."""
        points = [point for noted in self.seen[turns] for point in noted]
        return statistics.linear_regression(*zip(*points, strict=True)).slope


def measure(ground: Ground, report: Report) -> None:
    """Every figure of this part."""
    pairs = 8 if ground.quick else 16
    env = environment(ground.home())
    env["VERSEMILL_DATABASE_URL"] = url = ground.database("postgresql")
    env["VERSEMILL_BROKER_URL"] = ground.redis.url
    env["VERSEMILL_CHECKPOINT_SECONDS"] = str(CHECKPOINT_SECONDS)
    job = work(training__epochs=1_000_000, training__patience=0)
    store = Store.open(url)
    service.enqueue(store, job, service.Principal("me"))
    with worker(env) as running, psycopg.connect(url, autocommit=True) as looking:
        _wait(lambda: service.find(store, "1").step > 0)
        kept = Side(_family(running.pid), lambda: looking.execute(QUERY).fetchone()[0])
        kept.halt()
        bare_run = _BareRun()
        bare = Side([psutil.Process(bare_run.pid)], lambda: bare_run.step.value)
        try:
            _wait(lambda: bare.step() > 0)
            bare.halt()
            others = [*kept.processes[:-1], *ground.postgres.family()]
            used = _cpu_seconds(others)
            for pair in range(pairs):
                for side in (kept, bare) if pair % 2 else (bare, kept):
                    side.turn()
            share = (_cpu_seconds(others) - used) / kept.own
            bare.go()
            writing = bare_run.seconds_to_hand_over()
        finally:
            bare_run.kill()
            kept.go()
    store.close()
    _tell(report, kept, bare, share, writing)


def _tell(report: Report, kept: Side, bare: Side, share: float, writing: float) -> None:
    turns = len(kept.seen)
    title = f"persistence, {turns} turns of {TURN_SECONDS:.0f} s each, {os.cpu_count()} threads"
    report.title(f"{title}: {kept.speed():.1f} steps/s, bare {bare.speed():.1f}")
    size = turns // GROUPS
    groups = [slice(first, first + size) for first in range(0, turns, size)]
    costs = [100 * (1 - kept.speed(g) / bare.speed(g)) for g in groups]
    error = statistics.stdev(costs) / len(costs) ** 0.5
    cost = 100 * (1 - kept.speed() / bare.speed())
    clear = error <= 1.0
    remark = f"standard error {error:.1f}" + ("" if clear else ": too noisy for a verdict")
    report.add(Figure("cost, paired", cost, "%", ASKED if clear else None, remark=remark))
    waiting = writing / CHECKPOINT_SECONDS
    remark = f"others' CPU {100 * share:.2f}, writing checkpoints {100 * waiting:.2f}"
    report.add(Figure("cost, accounted", 100 * (share + waiting), "%", ASKED, remark=remark))


def _family(worker_pid: int) -> list[psutil.Process]:
    """The worker's processes, its trainer last."""
    first = psutil.Process(worker_pid)
    below = first.children(recursive=True)
    trainers = [process for process in below if process.ppid() != worker_pid]
    if len(trainers) != 1:
        raise SystemExit(f"expected one trainer below worker {worker_pid}, found {trainers}")
    return [first, *(process for process in below if process not in trainers), *trainers]


def _cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU seconds used so far, of children that have ended too."""
    return sum(sum(process.cpu_times()[:4]) for process in processes)


class _BareRun:
    """A process that trains and does nothing else."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.step = context.Value("q", 0, lock=False)
        self._enough = context.Event()
        self._answer, answering = context.Pipe(duplex=False)
        arguments = (self.step, self._enough, answering)
        self._process = context.Process(target=train_bare, args=arguments, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def seconds_to_hand_over(self) -> float:
        """How long a trainer of this job takes to hand its checkpoints over; ends training."""
        self._enough.set()
        if not self._answer.poll(PATIENCE):
            raise SystemExit("the bare run did not answer")
        return float(self._answer.recv())

    def kill(self) -> None:
        """Ends the process, stopped or not."""
        self._process.kill()
        self._process.join()


def train_bare(step: Any, enough: Any, answer: Any) -> None:
    """Trains as a trainer does, without anybody to tell; in a process of its own."""
    from versemill.settings import bound_spinning

    bound_spinning()  # before torch is imported, as in a worker
    from versemill.checkpoints.file import write
    from versemill.nn.machine import KernelPlan
    from versemill.plugins.registry import Registry
    from versemill.text.splitting import split
    from versemill.training.run import Training

    job = work(training__epochs=1_000_000, training__patience=0)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    plan = KernelPlan.current(device="cpu", threads=cores or 1)
    plan.apply()
    parts = split(job.text, job.config.text)
    run = Training(parts, job.config, Registry.discover(), plan=plan)
    for event in run:
        step.value = event.step
        if enough.is_set():
            break
    times = []
    with tempfile.TemporaryDirectory(prefix="versemill-benchmark-") as folder:
        for _ in range(5):
            began = time.perf_counter()
            for name in ("best", "last"):  # both, as when the best is new
                write(run.state().to_checkpoint(), Path(folder) / name)
            times.append(time.perf_counter() - began)
    answer.send(statistics.median(times))


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"not done within {PATIENCE:.0f} s")
        time.sleep(0.05)
