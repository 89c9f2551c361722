"""A throw-away installation with real worker processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from sqlalchemy import select, text, update

from people import ANN
from processes import started
from versemill.config.recipes import apply_overrides
from versemill.errors import DatabaseError
from versemill.jobs import service
from versemill.jobs.execution import checkpoints, worker_api
from versemill.jobs.service import Principal, Submission
from versemill.jobs.service.timing import AT_ONCE, Timing
from versemill.jobs.states import Priority
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job, Worker
from versemill.jobs.storage.unit_of_work import Store
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.settings import Settings
from versemill.text.corpus import Text
from versemill_workers.supervisor.attempt import Supervisor
from versemill_workers.trainer import entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from versemill.jobs.views import JobView

WAIT_SECONDS = 150.0
SONG = "小船摇呀摇\n摇到月亮桥\n桥上的人不分开\n分开的人桥下笑\n"
TEXT = Text(tuple(SONG.replace("月", character) for character in "月星云雨风雪花草山水火土"))
SMALL = {
    "prefixes": ["分开"],
    "model.hidden_size": 16,
    "model.embedding_size": 8,
    "training.batch_size": 4,
    "training.window": 10,
    "training.epochs": 30,
    "training.report_every": 10,
    "generation.length": 12,
}
SLOW_PLUGINS = Path(__file__).parent / "slow_plugins"
"""A distribution that workers have, and with which a job takes time but little of a core."""
LONG = {"sampler": "slow", "training.epochs": 60, "training.patience": 0}
"""Six seconds and more: time for a checkpoint, and for what is done to the job after it."""
ENDLESS = LONG | {"training.epochs": 1_000_000, "training.report_every": 1_000_000}


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, even if nobody has asked how it ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two questions
        return True


class Cluster:
    """One installation: its store, its workers, and jobs small enough for a test."""

    def __init__(self, home: Path, url: str, broker_url: str = "") -> None:
        self.home = home
        self.store = Store.open(url, connections=2)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "VERSEMILL_HOME": str(home),
            "VERSEMILL_DATABASE_URL": url,
            "VERSEMILL_BROKER_URL": broker_url,
            "VERSEMILL_CHECKPOINT_SECONDS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(SLOW_PLUGINS), os.environ.get("PYTHONPATH")))
            ),
        }
        self.workers: list[subprocess.Popen[bytes]] = []
        self._started = ExitStack()

    def submit(
        self,
        *,
        owner: Principal = ANN,
        priority: Priority = Priority.NORMAL,
        timing: Timing = AT_ONCE,
        **overrides: Any,
    ) -> JobView:
        values = SMALL | {key.replace("__", "."): value for key, value in overrides.items()}
        with _slow_plugins_here():
            config = resolve(apply_overrides({}, values), Registry.discover())
        submission = Submission(
            config=config, text=TEXT, plugins=[], priority=priority, timing=timing
        )
        return service.enqueue(self.store, submission, owner).job

    def start_worker(self, *arguments: str, **popen: Any) -> subprocess.Popen[bytes]:
        with (self.home / f"worker-{len(self.workers)}.log").open("wb") as log:
            command = [sys.executable, "-m", "versemill_workers", "--slots", "1", *arguments]
            settings = {"env": self.environment, "stdout": log, "stderr": log, **popen}
            worker = self._started.enter_context(started(command, **settings))
        self.workers.append(worker)
        return worker

    def supervise_here(self, job: JobView) -> tuple[psutil.Process, threading.Thread]:
        """Supervises the waiting job from a thread of this process.

        Returns:
            Its trainer, once that trains, and the thread.
        """
        claim = worker_api.claim(self.store, worker_api.register_worker(self.store, "here", 1))
        assert claim is not None
        assert claim.job_id == job.id
        context = get_context("forkserver")
        context.set_forkserver_preload(entry.PRELOADED)
        settings = Settings.from_environment()
        supervisor = Supervisor(settings, self.store, claim, 1, context, threading.Event())
        thread = threading.Thread(target=supervisor.run)
        with _slow_plugins_here():  # a trainer is given this process' path
            thread.start()
            self.until(lambda: self.job(job).step > 0)
        assert supervisor._pid is not None
        return psutil.Process(supervisor._pid), thread

    def freeze(self, worker: subprocess.Popen[bytes]) -> None:
        """Stops a worker, but not within a transaction: whoever writes would wait for its end."""
        while True:
            worker.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if self._can_write():
                return
            worker.send_signal(signal.SIGCONT)
            time.sleep(0.1)

    def _can_write(self) -> bool:
        try:
            with self.store.unit_of_work() as uow:  # which on SQLite is enough
                if self.store.database.path is None:
                    uow.execute(text("SET LOCAL lock_timeout = '1s'"))
                    uow.lock("claims")
                    uow.execute(text("LOCK TABLE jobs, workers IN EXCLUSIVE MODE"))
        except DatabaseError:
            return False
        return True

    def log(self, number: int = 0) -> str:
        return (self.home / f"worker-{number}.log").read_text()

    def job(self, job: JobView) -> JobView:
        return service.find(self.store, str(job.id))

    def until(self, what: Callable[[], Any], *, seconds: float = WAIT_SECONDS) -> Any:
        """Waits until `what()` is true and returns it."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, f"waited in vain\n{self._tell()}"
            time.sleep(0.05)
        return found

    def until_state(self, job: JobView, state: str) -> JobView:
        self.until(lambda: self.job(job).state == state)
        return self.job(job)

    def until_ready(self) -> None:
        """Waits until a worker has cleared up, can start trainers, and looks for jobs."""

        def machines() -> bool:
            with self.store.reading() as session:  # written by the poller, which comes last
                return any(session.scalars(select(Worker.machines)))

        self.until(machines)

    def until_training(self, job: JobView) -> psutil.Process:
        """Waits until the job has done a step, and returns its trainer."""
        self.until(lambda: self.job(job).state == "running" and self.job(job).step > 0)
        return self.until(self.trainer)

    def until_checkpoint(self, job: JobView, *, after: int = 0) -> int:
        """Waits for a checkpoint later than step `after`, and returns its step."""

        def newest() -> int:
            rows = checkpoints.checkpoints(self.store, job.id)
            return max((row.step for row in rows if row.is_last and row.step > after), default=0)

        return int(self.until(newest))

    def trainer(self) -> psutil.Process | None:
        """The one trainer process of the last worker: a child of its fork server."""
        for server in psutil.Process(self.workers[-1].pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                for child in server.children():
                    return child
        return None

    def expire_lease(self, job: JobView) -> None:
        """Lets the lease run out, as if half a minute had passed."""
        with self.store.unit_of_work() as uow:
            uow.execute(update(Job).where(Job.id == job.id).values(lease_until=db_now(-1)))
            uow.commit()

    def messages(self, job: JobView) -> list[str]:
        return [event.message for event in service.details(self.store, job.id).events]

    def close(self) -> None:
        self._started.close()
        self.store.close()

    def _tell(self) -> str:
        logs = "\n".join(self.log(n) for n in range(len(self.workers)))
        return f"{service.jobs(self.store)}\n{logs}"


@contextmanager
def _slow_plugins_here() -> Iterator[None]:
    sys.path.insert(0, str(SLOW_PLUGINS))
    try:
        yield
    finally:
        sys.path.remove(str(SLOW_PLUGINS))


def command(cluster: Cluster, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "versemill", *arguments],
        env=cluster.environment | {"VERSEMILL_USER": "ann"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout
