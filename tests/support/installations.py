"""Installations with rows of every kind, for tests that take them elsewhere."""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from sqlalchemy import column, create_engine, delete, insert, select, table

from job_queue import JobQueue
from people import BOB
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.row_copy import COPIED_TABLES
from versemill.jobs.storage.tables import (
    Delivery,
    Dependency,
    DeviceHold,
    Forecast,
    MemorySeen,
    Reservation,
    Subscription,
    Worker,
)
from versemill.jobs.storage.unit_of_work import Store
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.sql.base import Executable

    from versemill.jobs.execution.worker_api import Claim

LARGE = os.urandom(1024) * (9 * 1024)  # 9 MiB: three chunks
AWKWARD = (0.1 + 0.2, 5e-324, math.nextafter(1e308, 0), math.inf, 1 / 3)


def make_older(path: Path, *, worker: str | None = None) -> None:
    """Puts an empty database of the schema 0002 at `path`.

    Args:
        path: of the SQLite file.
        worker: name of a worker that is alive in it.
    """
    path.unlink(missing_ok=True)
    config = Config()
    config.set_main_option("script_location", "versemill_migrations:")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        if worker is not None:
            names = ("id", "name", "host", "pid", "slots", "version")
            times = ("started_at", "steady_since", "seen_at")
            rows = table("workers", *map(column, (*names, *times)))
            given = dict(zip(names, ("1", worker, "house", 7, 1, "0.1.0"), strict=True))
            connection.execute(insert(rows).values(**given, **dict.fromkeys(times, db_now())))
    engine.dispose()


@contextmanager
def opened(url: str) -> Iterator[JobQueue]:
    store = Store.open(url)
    yield JobQueue(store)
    store.close()


def write(queue: JobQueue, statement: Executable) -> None:
    with queue.store.unit_of_work() as uow:
        assert uow.execute(statement).rowcount > 0
        uow.commit()


def rows(queue: JobQueue) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that belongs to the installation; workers are processes."""
    with queue.store.reading() as session:
        return {
            table.name: sorted(
                (tuple(map(_short, row)) for row in session.execute(select(table))), key=repr
            )
            for table in COPIED_TABLES
        }


def _short(value: object) -> object:
    return hashlib.sha256(value).digest() if isinstance(value, bytes) else value


def trained(queue: JobQueue, best: bytes = b"weights") -> Claim:
    """A running job with all that a running job can have."""
    claim = queue.running()
    reports = [
        worker_api.MetricRow(
            step=step,
            epoch=step,
            train_perplexity=value,
            valid_perplexity=value if step % 2 else None,
            characters_per_second=value,
        )
        for step, value in enumerate(AWKWARD, start=1)
    ]
    lyric = worker_api.LyricRow(
        step=1, epoch=1, prefix="分开", text="分开\n\0不\ud800", seed=2**62, decoder="greedy"
    )
    worker_api.record(queue.store, claim, metrics=reports, lyrics=[lyric], output="a line\n")
    queue.checkpoint(claim, step=10, data=best, is_best=True)
    queue.checkpoint(claim, step=20, data=b"small", is_last=True)
    return claim


def fill(queue: JobQueue) -> Claim:
    """Rows of every kind, and no worker; the job returned is queued again, half trained."""
    service.add_corpus(queue.store, "诗集", Text(("春眠不觉晓\n",)), "/tmp/poems.txt", BOB)
    for end in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.PAUSED):
        claim = trained(queue, best=LARGE if end is State.SUCCEEDED else b"weights")
        worker_api.finish(queue.store, claim, end, message="it ended", result={"copied": 0.1 + 0.2})
    half = trained(queue)
    worker_api.finish(queue.store, half, State.QUEUED, message="handed over")
    write(queue, delete(Worker))
    with queue.store.unit_of_work() as uow:
        for statement in _team_rows(half.job_id):
            uow.execute(statement)
        uow.commit()
    return half


def _team_rows(job_id: int) -> Iterator[Executable]:
    """A row of each table that only a team fills."""
    later = db_now(3600)
    yield insert(Dependency).values(job_id=job_id, after_id=job_id - 1, condition="any")
    forecast = {"queued_at": db_now(), "earliest": db_now(), "latest": later}
    yield insert(Forecast).values(job_id=job_id, **forecast)
    yield insert(MemorySeen).values(shape="0" * 64, bytes_used=2**33)
    yield insert(DeviceHold).values(device_id="GPU-1", job_id=job_id)
    period = {"starts_at": db_now(), "ends_at": later}
    yield insert(Reservation).values(target="another", created_by="ann", owner_id=1, **period)
    yield insert(Subscription).values(id=1, owner_id=1, url="mailto://x", events=["failed"])
    told = {"event": "failed", "title": "failed", "body": "it failed"}
    yield insert(Delivery).values(subscription_id=1, job_id=job_id, **told)
