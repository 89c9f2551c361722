"""Part of `job_queue`: from SIGKILL of a worker until its jobs run again elsewhere.

Real workers with four slots each, on SQLite alone and on PostgreSQL with Redis at the same time.
One has four endless jobs, the other none; the first is killed (its trainers end by themselves). A
sample is a job: the time until it is `running` in a new attempt, looked for every 50 ms. There are
eight of them from two kills, so run it again for more. The lease is 30 s from its last renewal,
renewed every 10 s; a worker sweeps every 8 to 12 s, once it has been alive for one lease.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
from installation import environment
from queue_ground import Figure, work

from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from queue_ground import Ground, Report

    from versemill.jobs.views import JobView

ASKED = worker_api.LEASE_SECONDS + 15
SLOTS = 4
STEADY_SECONDS = worker_api.LEASE_SECONDS + 4
PATIENCE = 150.0


def measure(ground: Ground, report: Report) -> None:
    """Every figure of this part."""
    with ExitStack() as stack:
        teams = [stack.enter_context(_Team(ground, kind)) for kind in ("sqlite", "postgresql")]
        for team in teams:
            team.begin()
        _wait(lambda: all(team.ready() for team in teams))
        for team in teams:
            team.kill()
        _wait(lambda: sum(team.taken_over() for team in teams) == len(teams) * SLOTS)
        times = [seconds for team in teams for seconds in team.times()]
    report.title(f"recovery after SIGKILL of a worker, {len(times)} jobs")
    remark = f"quickest {min(times):.1f}, median {statistics.median(times):.1f}"
    what = "until a job runs again, the slowest (stands for p99)"
    report.add(Figure(what, max(times), "s", ASKED, remark=remark))


class _Team:
    """One installation: jobs, the worker that has them, and the one with free slots."""

    def __init__(self, ground: Ground, kind: str) -> None:
        self._env = environment(ground.home())
        self._env["VERSEMILL_DATABASE_URL"] = url = ground.database(kind)
        self._env["OMP_NUM_THREADS"] = "1"
        self._env["VERSEMILL_CHECKPOINT_SECONDS"] = "5"
        if kind == "postgresql":
            self._env["VERSEMILL_BROKER_URL"] = ground.redis.url
        self._store = Store.open(url)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._family: list[psutil.Process] = []
        self._free_since = self._killed_at = 0.0
        self._attempts: dict[int, int] = {}
        self._taken: dict[int, float] = {}

    def __enter__(self) -> _Team:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            self._remember_family(worker)
            worker.kill()
            worker.wait()
        for process in self._family:
            if process.is_running():
                process.kill()
        self._store.close()

    def begin(self) -> None:
        """Starts a worker, gives it jobs, and starts a free one once it has them all."""
        # Small ones: the machine is to be busy with recovering, not with training.
        small = work(model__hidden_size=16, training__epochs=1_000_000, training__patience=0)
        for _ in range(SLOTS):
            service.enqueue(self._store, small, service.Principal("me"))
        self._start()
        _wait(lambda: all(job.step > 0 for job in self._jobs()))
        self._start()
        self._free_since = time.monotonic()

    def ready(self) -> bool:
        """Whether the free worker has been alive long enough to sweep, and all jobs train."""
        steady = time.monotonic() - self._free_since > STEADY_SECONDS
        return steady and all(job.state_shown == "running" for job in self._jobs())

    def kill(self) -> None:
        """Kills the worker that has the jobs."""
        self._attempts = {job.id: job.attempt for job in self._jobs()}
        first = self._workers.pop(0)
        self._remember_family(first)
        first.kill()
        self._killed_at = time.monotonic()
        first.wait()

    def taken_over(self) -> int:
        """Looks once how many of the jobs run again."""
        for job in self._jobs():
            if job.state == "running" and job.attempt > self._attempts[job.id]:
                self._taken.setdefault(job.id, time.monotonic())
        return len(self._taken)

    def times(self) -> list[float]:
        """Seconds each job took."""
        return [at - self._killed_at for at in self._taken.values()]

    def _start(self) -> None:
        command = [sys.executable, "-m", "versemill_workers", "--devices", "cpu"]
        command += ["--slots", str(SLOTS)]
        self._workers.append(subprocess.Popen(command, env=self._env, stderr=subprocess.DEVNULL))

    def _jobs(self) -> list[JobView]:
        return service.jobs(self._store)

    def _remember_family(self, worker: subprocess.Popen[bytes]) -> None:
        if worker.poll() is None:
            self._family += psutil.Process(worker.pid).children(recursive=True)


def _wait(done: Callable[[], bool]) -> None:
    """Looks every 50 ms."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"not done within {PATIENCE:.0f} s")
        time.sleep(0.05)
