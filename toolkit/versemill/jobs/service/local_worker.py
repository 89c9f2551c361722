"""A worker process of one's own, for one job; it ends when this process does."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

from versemill.errors import VersemillError
from versemill.files import make_private_folder, private_opener
from versemill.jobs.notices import WorkerRestarted
from versemill.processes import module_command

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from versemill.settings import Settings

_RESTARTS = 3
_MIN_RUN_SECONDS = 5.0
_END_SECONDS = 40.0


def worker_command() -> list[str]:
    """How a worker process is started."""
    return module_command("versemill_workers")


class LocalWorker:
    """Works on one job from a session of its own, so that Ctrl-C reaches the command alone.

    Its stdin is the tether: when this process ends, however, the worker hands the job over and
    ends too. Its messages go to a file under `logs/` in the data directory.

    Args:
        settings: of the installation, which the worker gets too.
        job_id: the job.
        devices: `auto`, or `cpu` for a job that goes on there.
    """

    def __init__(self, settings: Settings, job_id: int, *, devices: str = "auto") -> None:
        options = ["--only", str(job_id), "--end-with-parent", "--devices", devices]
        self._command = [*worker_command(), *options]
        self._environment = os.environ | settings.to_environment()
        self._log = settings.home / "logs" / f"worker-{job_id}.log"
        self._restarts = 0
        self._wait_at_end = True
        make_private_folder(self._log.parent)
        self._start()

    def __enter__(self) -> LocalWorker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        self._process.stdin.close()
        if not self._wait_at_end:
            return
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the job is safe: its lease expires
            self._process.wait()

    @property
    def pid(self) -> int:
        """Of the worker process that was started last."""
        return self._process.pid

    def leave(self) -> None:
        """Does not wait for the worker at the end of the block: it hands over by itself."""
        self._wait_at_end = False

    def restart_if_ended(self) -> WorkerRestarted | None:
        """Starts the worker again should it have died; call it while the job is not over.

        Returns:
            That it had died, if so.

        Raises:
            VersemillError: it cannot be started, or has died too often.
        """
        code = self._process.poll()
        if code is None:
            return None
        died = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        cannot_start = (
            code != 0 and time.monotonic() - self._started < _MIN_RUN_SECONDS and code > 0
        )
        if cannot_start or self._restarts >= _RESTARTS:
            raise VersemillError(f"the worker ended ({died}): {_last_line(self._log)}")
        self._restarts += 1
        self._start()
        return WorkerRestarted(how=died)

    def _start(self) -> None:
        with open(self._log, "ab", opener=private_opener) as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started = time.monotonic()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"nothing in {log}"
