"""Which job a worker starts, and on which of its devices: the policy applied to the database.

Decided under the claims lock, so that what one worker sees is still true when it writes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from versemill.jobs.devices import (
    CPU,
    GPU,
    Admitted,
    free_for_more,
    has_room,
    share_of,
    unfit,
)
from versemill.jobs.execution import fair_share
from versemill.jobs.execution.queue_heads import queue_heads
from versemill.jobs.execution.reservations import active as active_reservations
from versemill.jobs.execution.reserved_places import closed_by
from versemill.jobs.execution.scheduling import at_limit, order, raised_usage
from versemill.jobs.execution.transitions import note
from versemill.jobs.states import Request, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import fitting
from versemill.jobs.storage.tables import Attempt, DeviceHold, Forecast, Job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from versemill.jobs.devices import Device, DeviceNeeds
    from versemill.jobs.execution.live_workers import WorkerRecord
    from versemill.jobs.execution.scheduling import Head
    from versemill.jobs.storage.unit_of_work import UnitOfWork

HOLD_AFTER_SECONDS = 60.0
"""How long a job waits for room on a GPU before a GPU is kept free for it."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A job that can start now.

    Attributes:
        device: where.
        needs: what it needs of a device.
        share: of the device that it will hold.
        raise_by: seconds by which its owner's usage is raised (`scheduling.raised_usage`).
    """

    head: Head
    device: Device
    needs: DeviceNeeds
    share: float
    raise_by: float


def suitable(
    session: Session, worker: WorkerRecord, devices: Sequence[Device]
) -> dict[str, DeviceNeeds]:
    """The requirements that this worker and one of its devices meet, by digest."""
    found = fitting(session, worker.plugins)
    labels = worker.labels
    return {
        digest: needs
        for digest, needs in found.items()
        if any(unfit(needs, device, labels) is None for device in devices)
    }


def machines_of(devices: Sequence[Device]) -> list[str] | None:
    """The kinds of machine that devices are; None where one of them is not known yet."""
    known = [device.machine for device in devices if device.machine is not None]
    return known if len(known) == len(devices) else None


def choose(
    uow: UnitOfWork, worker: WorkerRecord, devices: Sequence[Device], only: int | None
) -> Choice | None:
    """The job that is next on these devices, under the claims lock.

    A job that has waited for room on a GPU for `HOLD_AFTER_SECONDS` and whose turn it is has one
    kept free for it from then on.
    """
    session = uow.session
    fits = suitable(session, worker, devices)
    machines = machines_of(devices)
    heads = queue_heads(session, requirements=fits, machines=machines, only=only)
    if not heads:
        return None
    now = session.scalar(select(db_now()))
    assert now is not None  # noqa: S101 - a database has a clock
    kind = GPU if any(device.kind == GPU for device in devices) else CPU
    owners = fair_share.owners(session, kind, now)
    running = admitted(session) if kind == GPU else {}
    holds = _holds(uow) if kind == GPU else {}
    reserved = active_reservations(session)
    ranked = order(heads, owners, now.timestamp())
    ranked.sort(key=lambda head: head.keeps_place_on != worker.id)  # a place is kept for it here
    active = {head.owner_id for head in heads} | {i for i, o in owners.items() if o.running}
    for head in ranked:
        owner, needs = owners[head.owner_id], fits[head.requirements]
        if owner.disabled:
            continue
        able = [
            device
            for device in devices
            if unfit(needs, device, worker.labels) is None
            and at_limit(owner, gpu_share=_gpu_share(needs, device)) is None
            and closed_by(
                reserved,
                worker_name=worker.name,
                device_id=device.id,
                owner_id=head.owner_id,
                labels=needs.labels,
            )
            is None
        ]
        free = [
            device
            for device in able
            if holds.get(device.id, head.job_id) == head.job_id
            and has_room(needs, device, running.get(device.id, ()))
        ]
        if free:
            device = min(free, key=lambda d: free_for_more(d, running.get(d.id, ())))
            usage = raised_usage(head.owner_id, {i: owners[i] for i in active})
            return Choice(
                head=head,
                device=device,
                needs=needs,
                share=share_of(needs, device),
                raise_by=usage - owner.usage,
            )
        if able:
            _keep_free(uow, head, able, running, holds, now)
    return None


def started(uow: UnitOfWork, choice: Choice, queued_at: datetime) -> None:
    """Records that a chosen job starts: usage, forecasts, and what was kept for it is let go."""
    head = choice.head
    fair_share.start(
        uow, head.owner_id, head.priority, choice.device.kind, raise_by=choice.raise_by
    )
    if choice.device.kind == GPU:
        uow.execute(delete(DeviceHold).where(DeviceHold.job_id == head.job_id))
    uow.execute(
        update(Forecast)
        .where(Forecast.job_id == head.job_id, Forecast.queued_at == queued_at)
        .values(started_at=db_now())
    )
    if head.keeps_place_on is not None:
        _withdraw(uow, head.job_id)


def admitted(session: Session) -> dict[str, tuple[Admitted, ...]]:
    """The jobs that run on each GPU, of whichever worker."""
    found: dict[str, list[Admitted]] = defaultdict(list)
    columns = (Job.id, Attempt.device_id, Attempt.share, Attempt.memory, Attempt.memory_used)
    rows = session.execute(
        select(*columns)
        .join(Attempt, (Attempt.job_id == Job.id) & (Attempt.number == Job.attempt))
        .where(Job.state == State.RUNNING, Attempt.device_id.is_not(None))
    )
    for job_id, device_id, share, memory, used in rows:
        job = Admitted(job_id=job_id, share=share, memory=memory or 0, used=used or 0)
        found[str(device_id)].append(job)
    return {device: tuple(jobs) for device, jobs in found.items()}


def _gpu_share(needs: DeviceNeeds, device: Device) -> float:
    return share_of(needs, device) if device.kind == GPU else 0.0


def _holds(uow: UnitOfWork) -> dict[str, int]:
    """Which GPU is kept free for which job that still waits."""
    waits = select(Job.id).where(Job.state == State.QUEUED)
    uow.execute(delete(DeviceHold).where(DeviceHold.job_id.not_in(waits)))
    rows = uow.session.execute(select(DeviceHold.device_id, DeviceHold.job_id))
    return {str(device_id): job_id for device_id, job_id in rows}


def _keep_free(
    uow: UnitOfWork,
    head: Head,
    able: Sequence[Device],
    running: Mapping[str, tuple[Admitted, ...]],
    holds: dict[str, int],
    now: datetime,
) -> None:
    """Keeps a GPU free for a job that has waited for room on one, unless one is kept already."""
    waited = now.timestamp() - head.queued_at
    free = [device for device in able if device.kind == GPU and device.id not in holds]
    if not free or waited < HOLD_AFTER_SECONDS or head.job_id in holds.values():
        return
    device = min(free, key=lambda d: len(running.get(d.id, ())))
    row: dict[str, Any] = {"device_id": device.id, "job_id": head.job_id}
    uow.put(DeviceHold, [row], key=("device_id",))
    holds[device.id] = head.job_id
    note(uow, head.job_id, actor="queue", message=f"{device.name} is kept free for it")


def _withdraw(uow: UnitOfWork, job_id: int) -> None:
    """Lets jobs go on that were to give up their place for one that has started elsewhere."""
    spared = (
        update(Job)
        .where(Job.preempted_for == job_id, Job.state == State.RUNNING, Job.request == Request.NONE)
        .values(preempted_for=None)
    )
    for spared_id in uow.execute(spared.returning(Job.id)).scalars().all():
        message = f"pre-emption for job {job_id} withdrawn: that has started"
        note(uow, spared_id, actor="queue", message=message)
