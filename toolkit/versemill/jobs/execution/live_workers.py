"""The list of workers: who is alive, since when without a gap, and who is to end."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from versemill.jobs.states import LEASE_SECONDS
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Worker

if TYPE_CHECKING:
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.plugins.requirements import OfferedPlugin


@dataclass(frozen=True, kw_only=True)
class WorkerRecord:
    """A worker process, as registered.

    Attributes:
        id: UUID of this process start.
        name: a label for people; may be shared or used again.
        slots: jobs it works on at a time.
        machines: the kinds of machine its slots are (`KernelPlan.machine`); None if not known yet.
        plugins: those it has that jobs may require; None if not known yet.
    """

    id: str
    name: str
    host: str
    pid: int
    slots: int
    version: str
    machines: list[str] | None = None
    plugins: tuple[OfferedPlugin, ...] | None = None


def register_worker(store: Store, name: str, slots: int, *, version: str = "") -> WorkerRecord:
    """Announces this process under a new id."""
    worker = WorkerRecord(
        id=str(uuid.uuid4()),
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        slots=slots,
        version=version,
    )
    heartbeat(store, worker)
    return worker


def heartbeat(store: Store, worker: WorkerRecord) -> None:
    """Says that the worker is alive; announces it again if it was given up meanwhile."""
    row = asdict(worker)
    gap = Worker.seen_at < db_now(-LEASE_SECONDS)
    with store.unit_of_work() as uow:
        if uow.insert_if_absent(Worker, row, key="id") is None:
            alive = update(Worker).where(Worker.id == worker.id)
            uow.execute(alive.where(gap).values(steady_since=db_now()))
            found = {name: row[name] for name in ("machines", "plugins")}
            uow.execute(alive.values(seen_at=db_now(), **found))
        uow.commit()


def drained_by(store: Store, worker: WorkerRecord) -> str | None:
    """Who has asked this worker to hand its jobs over and end; None if nobody has."""
    with store.reading() as session:
        return session.scalar(select(Worker.drained_by).where(Worker.id == worker.id))


def forget_worker(store: Store, worker: WorkerRecord) -> None:
    """Takes the worker off the list as it ends."""
    with store.unit_of_work() as uow:
        uow.execute(delete(Worker).where(Worker.id == worker.id))
        uow.commit()
