"""The whole installation at a glance: devices, what runs, and what is next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from versemill.jobs.devices import GPU, foreign_use
from versemill.jobs.json_values import View
from versemill.jobs.service.listings import jobs_by_id
from versemill.jobs.states import State
from versemill.jobs.storage.plain_sql import SessionSQL
from versemill.jobs.waiting.queue_listing import WaitingJobs, shown
from versemill.jobs.waiting.reasons import device_label
from versemill.jobs.waiting.snapshot import Snapshot

if TYPE_CHECKING:
    from versemill.jobs.devices import Device
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobView


@dataclass(frozen=True, kw_only=True)
class DeviceInUse(View):
    """A device of a live worker.

    Attributes:
        label: how people call it: `gpu-1`, or `CPU`.
        jobs: how many run on it.
        places: most that can.
        foreign: bytes of its memory that processes outside the queue use.
    """

    worker: str
    label: str
    device: Device
    jobs: int
    places: int
    foreign: int = 0


@dataclass(frozen=True, kw_only=True)
class Overview(View):
    """What there is and what runs.

    Attributes:
        workers: how many are alive.
        slots: of all workers.
        busy: how many of them run a job.
        running: jobs that run, newest first; as many as were asked for.
    """

    workers: int
    slots: int
    busy: int
    devices: tuple[DeviceInUse, ...]
    running: tuple[JobView, ...]


@dataclass(frozen=True, kw_only=True)
class QueueView(View):
    """What waits.

    Attributes:
        waiting: how many jobs.
        first: the first of them, as many as were asked for: those whose turn comes, in their
            order, and then others, newest first.
    """

    waiting: int
    first: tuple[JobView, ...]


def overview(store: Store, *, most: int) -> Overview:
    """Devices, and at most so many running jobs."""
    with store.reading() as session:
        snapshot = Snapshot(SessionSQL(session))
        running = sorted((run.job_id for run in snapshot.running), reverse=True)
        devices = []
        for worker in snapshot.workers:
            mine = [run for run in snapshot.running if run.worker_id == worker.id]
            for device in worker.devices:
                here = [run for run in mine if run.device_id in {None, device.id}]
                jobs = snapshot.admitted.get(device.id, ())
                devices.append(
                    DeviceInUse(
                        worker=worker.name,
                        label=device_label(device),
                        device=device,
                        jobs=len(jobs) if device.kind == GPU else len(here),
                        places=device.max_jobs if device.kind == GPU else worker.slots,
                        foreign=foreign_use(device, jobs),
                    )
                )
        return Overview(
            workers=len(snapshot.workers),
            slots=sum(worker.slots for worker in snapshot.workers),
            busy=len(running),
            devices=tuple(devices),
            running=tuple(jobs_by_id(session, running[:most])),
        )


def queue_view(store: Store, *, most: int) -> QueueView:
    """At most so many of the jobs that are next, with position, reason and expected start."""
    with store.reading() as session:
        sql = SessionSQL(session)
        waiting = WaitingJobs(sql)
        count = sql.rows("SELECT count(*) AS n FROM jobs WHERE state = 'queued'")[0]["n"]
        first = waiting.first(most)
        if len(first) < min(most, count):
            newest = sql.rows(
                "SELECT id FROM jobs WHERE state = 'queued' ORDER BY id DESC LIMIT :most",
                {"most": most},
            )
            first = list(dict.fromkeys([*first, *(row["id"] for row in newest)]))[:most]
        outlooks = waiting.outlooks(first)
        views = {job.id: job for job in jobs_by_id(session, first) if job.state is State.QUEUED}
        known = [shown(views[i], outlooks[i]) for i in first if i in views and i in outlooks]
    return QueueView(waiting=count, first=tuple(known))
