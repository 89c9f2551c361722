"""A process frozen in the middle of a transaction, with everybody else waiting for its locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from job_queue import JobQueue
from processes import started
from versemill.jobs.execution import worker_api
from versemill.jobs.states import State
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMISED = 25.0
"""Seconds after which others go on."""

FREEZES = """
import os, signal, sys
from sqlalchemy import update
from versemill.jobs.storage.unit_of_work import Store
from versemill.jobs.storage.tables import Job

url, job_id = sys.argv[1:]
store = Store.open(url)
with store.unit_of_work() as uow:
    uow.lock("claims")
    uow.execute(update(Job).where(Job.id == int(job_id)).values(error="written too late"))
    os.kill(os.getpid(), signal.SIGSTOP)
    uow.commit()
"""


@pytest.fixture
def queue(postgres_url: str) -> Iterator[JobQueue]:
    """On PostgreSQL; with SQLite alone nothing but an end to the freeze helps."""
    store = Store.open(postgres_url, connections=2)
    yield JobQueue(store)
    store.close()


@pytest.mark.timeout(120)
def test_its_locks_are_taken_from_it_and_it_learns_of_that(
    queue: JobQueue, postgres_url: str
) -> None:
    claim = queue.running()
    queue.expire(claim)
    command = [sys.executable, "-c", FREEZES, postgres_url, str(claim.job_id)]
    with started(command, stderr=subprocess.PIPE) as frozen:
        while psutil.Process(frozen.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.05)
        began = time.monotonic()
        assert worker_api.sweep(queue.store) == [claim.job_id]
        assert queue.claim().attempt == 2
        assert time.monotonic() - began < PROMISED
        os.kill(frozen.pid, signal.SIGCONT)
        _, said = frozen.communicate(timeout=30)
    assert frozen.returncode == 1
    last = said.decode().splitlines()[-1]
    assert last.startswith("versemill.errors.DatabaseError: database ")
    assert "due to idle-in-transaction timeout" in last
    job = queue.job(claim.job_id)
    assert (job.state, job.error) == (State.RUNNING, None)
