"""Why a job waits, and who could work on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from versemill.jobs.states import LEASE_SECONDS, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job, StoredNeeds, Worker
from versemill.jobs.views import WorkerView
from versemill.phrases import counted
from versemill.plugins.requirements import Need, Plugin, from_json, lacking

if TYPE_CHECKING:
    from versemill.jobs.storage.unit_of_work import Store


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
        Worker.plans,
        Worker.drained_by,
        Worker.plugins,
    ).where(Worker.seen_at >= db_now(-LEASE_SECONDS))
    with store.reading() as session:
        rows = session.execute(query.order_by(Worker.name, Worker.started_at)).mappings()
        return [WorkerView(**row) for row in rows]


def waiting(store: Store, job_id: int) -> str | None:
    """Why a queued job waits and what can be done; None if a free slot may take it at once."""
    columns = (Job.plan, Job.inexact, Job.available_at, db_now().label("now"), StoredNeeds.needs)
    query = select(*columns).outerjoin(StoredNeeds, StoredNeeds.digest == Job.needs)
    with store.reading() as session:
        found = session.execute(query.where(Job.id == job_id, Job.state == State.QUEUED)).first()
    return None if found is None else _reason(job_id, found, live_workers(store))


def _reason(job_id: int, found: Any, alive: list[WorkerView]) -> str | None:
    if not alive:
        return "no worker is running: start one with `versemill worker`"
    anywhere = found.plan is None or found.inexact
    able = [w for w in alive if anywhere or w.plans is None or found.plan in w.plans]
    if not able:
        return (
            f"it goes on bit for bit only on a machine like the first ({found.plan}), and no live "
            f"worker is one: start one there, or allow small differences with `versemill pause "
            f"{job_id}` and `versemill resume {job_id} --inexact`"
        )
    needs = from_json(found.needs or ())
    equipped = [worker for worker in able if not _lacking(needs, worker)]
    if not equipped:
        return _unequipped(job_id, needs, able)
    if found.available_at > found.now:
        return f"it is tried again in {(found.available_at - found.now).total_seconds():.0f} s"
    if all(worker.busy >= worker.slots for worker in equipped):
        slots = sum(worker.slots for worker in equipped)
        return f"every worker is busy ({counted(slots, 'slot')}): the job waits its turn"
    return None


def _lacking(needs: tuple[Need, ...], worker: WorkerView) -> list[Need]:
    return [] if worker.plugins is None else lacking(needs, _plugins(worker))


def _plugins(worker: WorkerView) -> list[Plugin]:
    return [Plugin(**plugin) for plugin in worker.plugins or ()]


def _unequipped(job_id: int, needs: tuple[Need, ...], workers: list[WorkerView]) -> str:
    """What the best equipped worker lacks, who has it in another version, and what can be done."""
    lacks = min((_lacking(needs, worker) for worker in workers), key=len)
    others = [
        f"worker {worker.name} has {plugin.kind} {plugin.name!r} from "
        f"{plugin.distribution} {plugin.version}"
        for need in lacks
        for worker in workers
        for plugin in _plugins(worker)
        if (plugin.kind, plugin.name) == (need.kind, need.name)
    ]
    told = [f"needs {', '.join(map(str, lacks))}; no live worker has {_them(lacks)}", *others[:3]]
    remedy = "install it where one runs" if len(lacks) == 1 else "install them where one runs"
    if others:
        remedy += (
            f", or go on with what is there: `versemill pause {job_id}` and "
            f"`versemill resume {job_id} --accept-change`"
        )
    return f"{'; '.join(told)}; {remedy}"


def _them(lacks: list[Need]) -> str:
    return "it" if len(lacks) == 1 else "them all"
