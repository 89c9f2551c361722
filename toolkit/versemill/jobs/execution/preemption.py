"""An urgent job takes the place of one of lower priority, which goes on later from a checkpoint.

Workers without a free slot make no claims, so any worker's poll decides this, under the claims
lock. The rules:

- Only a job of priority `urgent` takes a place, only where no free place could run it, and only
  one place for each such job. A place that looks free and has not taken the job for
  `FREE_PLACE_SECONDS` does not count: its worker may have died a moment ago.
- The place is one that can really run it: its worker is alive, stays, has the plugins and the
  device. A job that somebody runs on their own machine (`Worker.only_job`) keeps its place.
- Of those that run there, the one of the lowest priority gives way; of several, the one whose owner
  has used most; of those, the one that was started last.
- It has run for `LEAST_RUN_SECONDS`, doubled for each time it gave way before. So no two jobs take
  turns without getting on.
- It gives way at a checkpoint and keeps its place in the queue; the time since the checkpoint is
  given back. If the checkpoint is not durable within 30 s it goes on, and so it does when the
  urgent job has started elsewhere or no longer waits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import aliased

from versemill.jobs.devices import ANY_CPU, CPU, Device, has_room, unfit
from versemill.jobs.execution import fair_share
from versemill.jobs.execution.admission import admitted
from versemill.jobs.execution.claims import fence
from versemill.jobs.execution.queue_heads import queue_heads
from versemill.jobs.execution.reservations import active
from versemill.jobs.execution.reserved_places import closed_by
from versemill.jobs.execution.scheduling import at_limit, order
from versemill.jobs.execution.transitions import note
from versemill.jobs.states import LEASE_SECONDS, Priority, Request, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import fitting
from versemill.jobs.storage.tables import Attempt, Job, User, Worker
from versemill.plugins.requirements import offered_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from versemill.jobs.devices import Admitted, DeviceNeeds
    from versemill.jobs.execution.claims import Claim
    from versemill.jobs.execution.scheduling import Head, Owner
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork

LEAST_RUN_SECONDS = 30.0
FREE_PLACE_SECONDS = 10.0
MOST_DOUBLINGS = 6


def preempt(store: Store) -> int | None:
    """Asks one running job to give up its place, if an urgent one needs it; withdraws old requests.

    Returns:
        The job that is asked; None if none is.
    """
    with store.reading() as session:  # nearly every poll ends here
        urgent = select(Job.id).where(
            Job.state == State.QUEUED, Job.held.is_(False), Job.priority == Priority.URGENT
        )
        asked = select(Job.id).where(Job.state == State.RUNNING, Job.preempted_for.is_not(None))
        if session.scalar(urgent.limit(1)) is None and session.scalar(asked.limit(1)) is None:
            return None
    with store.unit_of_work() as uow:
        uow.lock("claims")
        _withdraw_idle(uow)
        victim = _ask_one(uow)
        uow.commit()
    return victim


def decline_preemption(store: Store, claim: Claim, why: str) -> None:
    """Lets a job go on that was to give up its place and cannot; from a reserved one it yields.

    Raises:
        FencedError: the job was requeued or ended meanwhile.
    """
    with store.unit_of_work() as uow:
        fence(uow, claim, preempted_for=None)
        leaves = uow.scalar(select(Job.reservation_id).where(Job.id == claim.job_id)) is not None
        message = f"keeps its place: {why}"
        if leaves:
            fence(uow, claim, reservation_id=None, request=Request.YIELD)
            message = f"{why}; its place is reserved, so it yields"
        note(uow, claim.job_id, actor=claim.worker_name, message=message)
        uow.commit()


def _withdraw_idle(uow: UnitOfWork) -> None:
    """Lets jobs go on whose place is no longer needed."""
    waits = select(Job.id).where(Job.state == State.QUEUED, Job.priority == Priority.URGENT)
    idle = update(Job).where(
        Job.state == State.RUNNING,
        Job.preempted_for.is_not(None),
        Job.preempted_for.not_in(waits),
    )
    for job_id in uow.execute(idle.values(preempted_for=None).returning(Job.id)).scalars().all():
        message = "pre-emption withdrawn: the urgent job no longer waits"
        note(uow, job_id, actor="queue", message=message)


class _Place:
    """A live worker, with the jobs that run on it."""

    def __init__(self, row: Any) -> None:
        self.id: str = row.id
        self.name: str = row.name
        self.labels: list[str] = row.labels or []
        self.machines: list[str] | None = row.machines
        self.plugins = None if row.plugins is None else offered_from_json(row.plugins)
        devices = [ANY_CPU.to_json()] if row.devices is None else row.devices
        self.devices = {device["id"]: Device.from_json(device) for device in devices}
        self.slots: int = row.slots
        self.jobs: list[Any] = []


def _ask_one(uow: UnitOfWork) -> int | None:
    """Finds an urgent job that needs a place, and the job that gives its own up."""
    session = uow.session
    now = session.scalar(select(db_now()))
    assert now is not None  # noqa: S101 - a database has a clock
    known = fitting(session, None)
    heads = [
        head
        for head in queue_heads(session, requirements=known)
        if head.priority is Priority.URGENT
    ]
    pending = set(session.scalars(select(Job.preempted_for).where(Job.preempted_for.is_not(None))))
    heads = [head for head in heads if head.job_id not in pending]
    if not heads:
        return None
    places = _places(uow)
    owners = fair_share.owners(session, CPU, now)
    running = admitted(session)
    for head in order(heads, owners, now.timestamp()):
        owner = owners[head.owner_id]
        if owner.disabled or at_limit(owner) is not None:
            continue
        victim = _victim(uow, head, known[head.requirements], places, owners, running, now)
        if victim is not None:
            _ask(uow, head, *victim)
            return int(victim[0].job_id)
    return None


def _places(uow: UnitOfWork) -> list[_Place]:
    columns = (Worker.id, Worker.name, Worker.slots, Worker.machines, Worker.plugins)
    alive = select(*columns, Worker.labels, Worker.devices).where(
        Worker.seen_at >= db_now(-LEASE_SECONDS),
        Worker.drained_by.is_(None),
        Worker.only_job.is_(None),
    )
    places = {row.id: _Place(row) for row in uow.session.execute(alive)}
    earlier = aliased(Attempt)
    gave_way = (
        select(func.count())
        .where(earlier.job_id == Job.id, earlier.preempted_for.is_not(None))
        .correlate(Job)
        .scalar_subquery()
    )
    runs = (
        select(
            Job.id.label("job_id"),
            Job.owner_id,
            Job.priority,
            Job.worker_id,
            Job.request,
            Job.preempted_for,
            Attempt.started_at,
            Attempt.device_id,
            Attempt.memory,
            gave_way.label("gave_way"),
        )
        .join(Attempt, (Attempt.job_id == Job.id) & (Attempt.number == Job.attempt))
        .where(Job.state == State.RUNNING, Job.lease_until >= db_now())
    )
    for row in uow.session.execute(runs):
        if row.worker_id in places:
            places[row.worker_id].jobs.append(row)
    return list(places.values())


def _victim(
    uow: UnitOfWork,
    head: Head,
    needs: DeviceNeeds,
    places: Sequence[_Place],
    owners: Mapping[int, Owner],
    running: Mapping[str, tuple[Admitted, ...]],
    now: datetime,
) -> tuple[Any, _Place] | None:
    """The job that gives way, and where; None where none may or none has to."""
    fresh = now.timestamp() - head.queued_at < FREE_PLACE_SECONDS
    found: list[tuple[tuple[Any, ...], Any, _Place]] = []
    reserved = active(uow.session)
    for place in _able_places(uow, head, places):
        suits = {
            i: d
            for i, d in place.devices.items()
            if unfit(needs, d, place.labels) is None
            and closed_by(
                reserved,
                worker_name=place.name,
                device_id=i,
                owner_id=head.owner_id,
                labels=needs.labels,
            )
            is None
        }
        free_now = (
            fresh
            and len(place.jobs) < place.slots
            and any(
                _would_fit(needs, device, running.get(device.id, ()), None)
                for device in suits.values()
            )
        )
        if suits and (free_now or any(job.request is not Request.NONE for job in place.jobs)):
            return None  # a place is free, or becomes free
        for job in place.jobs:
            device = suits.get(job.device_id or CPU)
            if device is None or not _may_give_way(job, head, now):
                continue
            if _would_fit(needs, device, running.get(device.id, ()), job.job_id):
                usage = owners[job.owner_id].usage
                rank = (job.priority.level, -usage, -job.started_at.timestamp())
                found.append((rank, job, place))
    if not found:
        return None
    _, job, place = min(found, key=lambda each: each[0])
    return job, place


def _able_places(uow: UnitOfWork, head: Head, places: Sequence[_Place]) -> list[_Place]:
    """Those with the plugins for a job, on a machine that may go on with it."""
    wanted, inexact = uow.session.execute(
        select(Job.machine, Job.inexact).where(Job.id == head.job_id)
    ).one()
    return [
        place
        for place in places
        if head.requirements in fitting(uow.session, place.plugins)
        and (wanted is None or inexact or place.machines is None or wanted in place.machines)
    ]


def _may_give_way(job: Any, head: Head, now: datetime) -> bool:
    least = LEAST_RUN_SECONDS * 2 ** min(job.gave_way, MOST_DOUBLINGS)
    return (
        job.preempted_for is None
        and job.priority.level < head.priority.level
        and (now - job.started_at).total_seconds() >= least
    )


def _would_fit(
    needs: DeviceNeeds, device: Device, admitted_there: tuple[Admitted, ...], without: int | None
) -> bool:
    """Whether it fits once the job `without` has gone."""
    if device.kind == CPU:
        return True
    others = tuple(job for job in admitted_there if job.job_id != without)
    freed = sum(job.used for job in admitted_there if job.job_id == without)
    return has_room(needs, replace(device, free=(device.free or 0) + freed), others)


def _ask(uow: UnitOfWork, head: Head, victim: Any, place: _Place) -> None:
    uow.execute(update(Job).where(Job.id == victim.job_id).values(preempted_for=head.job_id))
    uow.execute(update(Job).where(Job.id == head.job_id).values(place_worker_id=place.id))
    name, owner = uow.session.execute(
        select(Job.name, User.name).join(User, User.id == Job.owner_id).where(Job.id == head.job_id)
    ).one()
    message = (
        f"asked to give up its place on worker {place.name} for urgent job {head.job_id} "
        f"({name}, {owner}); it is {victim.priority} and keeps its place in the queue"
    )
    note(uow, victim.job_id, actor="queue", message=message)
    message = f"job {victim.job_id} is asked to give up its place on worker {place.name} for it"
    note(uow, head.job_id, actor="queue", message=message)
