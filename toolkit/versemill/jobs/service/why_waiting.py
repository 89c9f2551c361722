"""Why a job waits, and who could work on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from versemill.jobs.devices import Device
from versemill.jobs.notices import (
    NoWorker,
    OtherMachines,
    PluginElsewhere,
    PluginsMissing,
    RetryDelayed,
    WorkersBusy,
)
from versemill.jobs.service.why_held import why_held
from versemill.jobs.states import LEASE_SECONDS, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job, StoredRequirements, Worker
from versemill.jobs.views import WorkerView
from versemill.plugins.requirements import from_json, lacking, offered_from_json

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from versemill.jobs.notices import WaitingReason
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.plugins.requirements import Requirement

_OTHERS_NAMED = 3


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
    columns = (
        Job.machine,
        Job.inexact,
        Job.available_at,
        Job.begin_at,
        db_now().label("now"),
        StoredRequirements.requirements,
    )
    query = select(*columns).outerjoin(
        StoredRequirements, StoredRequirements.digest == Job.requirements
    )
    with store.reading() as session:
        found = session.execute(query.where(Job.id == job_id, Job.state == State.QUEUED)).first()
        if found is None:
            return None
        held = why_held(session, job_id, begin_at=found.begin_at, now=found.now)
    return held or _reason(found, live_workers(store))


def _reason(found: Any, alive: list[WorkerView]) -> WaitingReason | None:
    if not alive:
        return NoWorker()
    anywhere = found.machine is None or found.inexact
    able = [w for w in alive if anywhere or w.machines is None or found.machine in w.machines]
    if not able:
        return OtherMachines(machine=found.machine)
    required = from_json(found.requirements or ())
    equipped = [worker for worker in able if not _lacking(required, worker)]
    if not equipped:
        return _lacking_plugins(required, able)
    if found.available_at > found.now:
        return RetryDelayed(seconds=(found.available_at - found.now).total_seconds())
    if all(worker.busy >= worker.slots for worker in equipped):
        return WorkersBusy(slots=sum(worker.slots for worker in equipped))
    return None


def _lacking(required: tuple[Requirement, ...], worker: WorkerView) -> list[Requirement]:
    return [] if worker.plugins is None else lacking(required, worker.plugins)


def _lacking_plugins(
    required: tuple[Requirement, ...], workers: list[WorkerView]
) -> PluginsMissing:
    """What the best equipped worker lacks, and who has it in another version."""
    lacks = min((_lacking(required, worker) for worker in workers), key=len)
    others = [
        PluginElsewhere(worker=worker.name, plugin=plugin)
        for lack in lacks
        for worker in workers
        for plugin in worker.plugins or ()
        if (plugin.kind, plugin.name) == (lack.kind, lack.name)
    ]
    return PluginsMissing(requirements=tuple(lacks), others=tuple(others[:_OTHERS_NAMED]))
