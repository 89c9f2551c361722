"""The other side of `job_queue`: a plain Celery application with a task that does nothing.

It shares no code with versemill. Redis as broker, a pool of threads, no result backend; all else
is as Celery has it. The environment says where the broker is and how many messages there will be.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

from celery import Celery

THREADS = 4
_BROKER, _COUNT = "BARE_BROKER_URL", "BARE_COUNT"

app = Celery("bare", broker=os.environ.get(_BROKER, "memory://"))
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
_wanted = int(os.environ.get(_COUNT, "0"))
_done = itertools.count(1)


@app.task
def nothing() -> None:
    """Does nothing, but the first and the last one say when."""
    if (number := next(_done)) in {1, _wanted}:
        line = f"{number} {time.monotonic()}\n"
        os.write(1, line.encode())  # past Celery, which takes prints for its log


def rates(broker_url: str, count: int) -> tuple[float, float]:
    """Messages a second: published by one process, then consumed by one worker."""
    app.conf.broker_url = broker_url
    nothing.delay()  # the connection is made; purged below
    app.control.purge()
    began = time.monotonic()
    for _ in range(count):
        nothing.delay()
    published = count / (time.monotonic() - began)
    app.close()
    return published, (count - 1) / _seconds_to_consume(broker_url, count)


def _seconds_to_consume(broker_url: str, count: int) -> float:
    """Seconds between the first and the last task of a worker that finds them all waiting."""
    command = [sys.executable, "-m", "celery", "-A", Path(__file__).stem, "--quiet", "worker"]
    command += ["--pool", "threads", "--concurrency", str(THREADS), "--loglevel", "ERROR"]
    worker = subprocess.Popen(
        command,
        cwd=Path(__file__).parent,
        env=os.environ | {_BROKER: broker_url, _COUNT: str(count)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdout is not None
    times = {}
    try:
        for line in worker.stdout:
            number, _, at = line.partition(" ")
            if number.isdigit():
                times[int(number)] = float(at)
            if count in times:
                return times[count] - times[1]
        raise SystemExit("the bare Celery worker ended early")
    finally:
        worker.kill()
        worker.wait()
