"""Why a job waits, and who could work on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from versemill.jobs.devices import Device
from versemill.jobs.states import LEASE_SECONDS, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plain_sql import SessionSQL
from versemill.jobs.storage.tables import Job, Worker
from versemill.jobs.views import WorkerView
from versemill.jobs.waiting.queue_listing import WaitingJobs
from versemill.plugins.requirements import offered_from_json

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from versemill.jobs.notices import WaitingReason
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.waiting.queue_listing import Outlook


def live_workers(store: Store) -> list[WorkerView]:
    """Workers seen within the last lease, by name."""
    busy = (
        select(func.count())
        .where(Job.state == State.RUNNING, Job.worker_id == Worker.id)
        .scalar_subquery()
    )
    query = select(
        Worker.id,
        Worker.name,
        Worker.host,
        Worker.pid,
        Worker.slots,
        busy.label("busy"),
        Worker.version,
        Worker.started_at,
        Worker.seen_at,
        Worker.machines,
        Worker.drained_by,
        Worker.plugins,
        Worker.labels,
        Worker.only_job,
        Worker.devices,
    ).where(Worker.seen_at >= db_now(-LEASE_SECONDS))
    with store.reading() as session:
        rows = session.execute(query.order_by(Worker.name, Worker.started_at)).mappings()
        return [_worker(row) for row in rows]


def _worker(row: RowMapping) -> WorkerView:
    plugins = None if row["plugins"] is None else offered_from_json(row["plugins"])
    devices = None if row["devices"] is None else tuple(map(Device.from_json, row["devices"]))
    typed = {"plugins": plugins, "devices": devices, "labels": tuple(row["labels"] or ())}
    return WorkerView(**{**dict(row), **typed})


def waiting(store: Store, job_id: int) -> WaitingReason | None:
    """Why a queued job waits; None if a free slot may take it at once."""
    found = outlook(store, job_id)
    return None if found is None else found.reason


def outlook(store: Store, job_id: int) -> Outlook | None:
    """How things stand for a job; None if it does not wait."""
    with store.reading() as session:
        return WaitingJobs(SessionSQL(session)).outlooks([job_id]).get(job_id)
