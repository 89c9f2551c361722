"""Why a job waits: asked of the functions that decide about it, in the order in which they do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from versemill.jobs.devices import CPU, GPU, foreign_use, free_for_more, has_room, share_of, unfit
from versemill.jobs.execution.reserved_places import closed_by
from versemill.jobs.execution.scheduling import at_limit
from versemill.jobs.notices import (
    BehindOthers,
    DevicesFull,
    DevicesKept,
    ForeignUse,
    GpuLimit,
    HeldUntil,
    NoDevice,
    NoMemory,
    NoWorker,
    OtherMachines,
    OwnerDisabled,
    PlaceKept,
    PluginElsewhere,
    PluginsMissing,
    ReservedForOthers,
    RetryDelayed,
    RunningLimit,
    UnfitDevice,
    WaitsForJobs,
    WorkersBusy,
    WorkersTaken,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from versemill.jobs.devices import Admitted, Device, DeviceNeeds
    from versemill.jobs.execution.reserved_places import Reserved
    from versemill.jobs.notices import WaitingReason
    from versemill.jobs.waiting.position import Place
    from versemill.jobs.waiting.snapshot import LiveWorker, Snapshot, Waiter

_NAMED = 3


def able_devices(
    snapshot: Snapshot, requirements: str, machine: str | None = None, *, job_id: int | None = None
) -> list[tuple[LiveWorker, Device]]:
    """The devices that can run a job some time, each with its worker.

    Args:
        snapshot: of the workers.
        requirements: of the job.
        machine: the kind that it has to go on with; None for any.
        job_id: the job, which a worker may be there for.
    """
    needs = snapshot.needs.get(requirements)
    equipped = snapshot.equipped(requirements)
    if needs is None:
        return []
    return [
        (worker, device)
        for worker in snapshot.workers
        if worker.id in equipped and _open_to(worker, job_id) and _goes_on(worker, machine)
        for device in worker.devices
        if unfit(needs, device, worker.labels) is None
    ]


def open_devices(
    snapshot: Snapshot,
    requirements: str,
    owner_id: int,
    machine: str | None = None,
    *,
    job_id: int | None = None,
) -> list[tuple[LiveWorker, Device]]:
    """Of `able_devices` those that are not reserved for others now; arguments as there."""
    return [
        (worker, device)
        for worker, device in able_devices(snapshot, requirements, machine, job_id=job_id)
        if _reserved(snapshot, requirements, owner_id, worker, device) is None
    ]


def not_yet(snapshot: Snapshot, job: Waiter) -> WaitingReason | None:
    """Why it is not its turn, whatever places there are; None if it takes part in the queue."""
    if job.held:
        return WaitsForJobs(jobs=job.after)
    if snapshot.owners(CPU)[job.owner_id].disabled:
        return OwnerDisabled(owner=snapshot.owner_names[job.owner_id])
    if job.begin_at is not None and job.begin_at > snapshot.now:
        return HeldUntil(at=datetime.fromtimestamp(job.begin_at, UTC))
    return _no_worker(snapshot, job)


def reason(snapshot: Snapshot, job: Waiter, place: Place | None) -> WaitingReason | None:
    """Why a job waits; None if a free place may take it at once.

    Args:
        snapshot: of all that decides.
        job: the job.
        place: where it stands in the queue; None if it does not take part in it.
    """
    first = not_yet(snapshot, job)
    if first is not None:
        return first
    able = open_devices(snapshot, job.requirements, job.owner_id, job.machine, job_id=job.id)
    if not able:
        return _reserved_for_others(snapshot, job)
    limit = _limit(snapshot, job, able)
    if limit is not None:
        return limit
    if job.available_at > snapshot.now:
        return RetryDelayed(seconds=job.available_at - snapshot.now)
    keeper = next((w.name for w, _ in able if w.id == job.place_worker_id), None)
    if keeper is not None:
        return PlaceKept(worker=keeper)
    return _no_room(snapshot, job, able, place)


def device_label(device: Device) -> str:
    """How people call a device: `gpu-1`, or its name."""
    return device.name if device.index is None else f"gpu-{device.index}"


def _reserved(
    snapshot: Snapshot, requirements: str, owner_id: int, worker: LiveWorker, device: Device
) -> Reserved | None:
    return closed_by(
        snapshot.reserved,
        worker_name=worker.name,
        device_id=device.id,
        owner_id=owner_id,
        labels=snapshot.needs[requirements].labels,
    )


def _reserved_for_others(snapshot: Snapshot, job: Waiter) -> ReservedForOthers:
    """The reservation that ends first of those that keep a job off every place."""
    places = [
        (_reserved(snapshot, job.requirements, job.owner_id, worker, device), worker, device)
        for worker, device in able_devices(snapshot, job.requirements, job.machine, job_id=job.id)
    ]
    closed = [(each, worker, device) for each, worker, device in places if each is not None]
    each, worker, device = min(closed, key=lambda place: place[0].ends_at)
    target = f"worker {worker.name}"
    if each.target != worker.name:
        target = f"{device_label(device)} of {target}"
    return ReservedForOthers(target=target, whose=each.whose, until=each.ends_at)


def _open_to(worker: LiveWorker, job_id: int | None) -> bool:
    return worker.takes_all or (job_id is not None and worker.only_job == job_id)


def _goes_on(worker: LiveWorker, machine: str | None) -> bool:
    return machine is None or worker.machines is None or machine in worker.machines


def _no_worker(snapshot: Snapshot, job: Waiter) -> WaitingReason | None:
    """Why no live worker can run a job; None if one can."""
    if able_devices(snapshot, job.requirements, job.machine, job_id=job.id):
        return None
    workers = [worker for worker in snapshot.workers if _open_to(worker, job.id)]
    if not snapshot.workers:
        return NoWorker()
    if not workers:
        return WorkersTaken(workers=tuple(worker.name for worker in snapshot.workers))
    alike = [worker for worker in workers if _goes_on(worker, job.machine)]
    if not alike:
        return OtherMachines(machine=job.machine or "")
    equipped = [w for w in alike if w.id in snapshot.equipped(job.requirements)]
    if not equipped:
        return _lacking_plugins(snapshot, job, alike)
    return NoDevice(devices=tuple(_unfit(snapshot, job, equipped))[:_NAMED])


def _lacking_plugins(
    snapshot: Snapshot, job: Waiter, workers: Sequence[LiveWorker]
) -> PluginsMissing:
    """What the best equipped worker lacks, and who has it in another version."""
    from versemill.plugins.requirements import lacking

    required = snapshot.required(job.requirements)
    lacks = min((lacking(required, worker.plugins or ()) for worker in workers), key=len)
    others = [
        PluginElsewhere(worker=worker.name, plugin=plugin)
        for lack in lacks
        for worker in workers
        for plugin in worker.plugins or ()
        if (plugin.kind, plugin.name) == (lack.kind, lack.name)
    ]
    return PluginsMissing(requirements=tuple(lacks), others=tuple(others[:_NAMED]))


def _unfit(snapshot: Snapshot, job: Waiter, workers: Sequence[LiveWorker]) -> Iterator[UnfitDevice]:
    needs = snapshot.needs[job.requirements]
    for worker in workers:
        for device in worker.devices:
            why = unfit(needs, device, worker.labels)
            if why is not None:
                yield UnfitDevice(worker=worker.name, device=device_label(device), why=why)


def _limit(
    snapshot: Snapshot, job: Waiter, able: Sequence[tuple[LiveWorker, Device]]
) -> WaitingReason | None:
    """Which limit of its owner keeps a job from every device; None if none does."""
    owner, name = snapshot.owners(CPU)[job.owner_id], snapshot.owner_names[job.owner_id]
    needs = snapshot.needs[job.requirements]
    shares = {share_of(needs, d) if d.kind == GPU else 0.0 for _, d in able}
    found = {share: at_limit(owner, gpu_share=share) for share in shares}
    if not found or None in found.values():
        return None
    if "running" in found.values():
        return RunningLimit(owner=name, limit=owner.limits.running or 0)
    return GpuLimit(owner=name, limit=owner.limits.gpus or 0, held=owner.gpus, needed=min(found))


def _no_room(
    snapshot: Snapshot,
    job: Waiter,
    able: Sequence[tuple[LiveWorker, Device]],
    place: Place | None,
) -> WaitingReason | None:
    """Why no device has a free place for it now; None if one has."""
    slots = {worker.id: worker.slots for worker, _ in able}
    busy = {i: sum(run.worker_id == i for run in snapshot.running) for i in slots}
    free = [(w, d) for w, d in able if busy[w.id] < w.slots]
    if not free:
        if place is not None and place.position > 1:
            return BehindOthers(jobs=place.position - 1, owners=len(place.before))
        return WorkersBusy(slots=sum(slots.values()))
    needs, running = snapshot.needs[job.requirements], snapshot.admitted
    roomy = [(w, d) for w, d in free if has_room(needs, d, running.get(d.id, ()))]
    kept = {d.id: snapshot.device_holds.get(d.id, job.id) for _, d in roomy}
    if any(holder == job.id for holder in kept.values()):
        return None
    if roomy:
        return DevicesKept(jobs=tuple(sorted(set(kept.values()))))
    return _full(needs, free, running)


def _full(
    needs: DeviceNeeds,
    places: Sequence[tuple[LiveWorker, Device]],
    running: Mapping[str, tuple[Admitted, ...]],
) -> WaitingReason:
    """Why none of the GPUs has room."""
    with_places = [
        (worker, device)
        for worker, device in places
        if not _all_taken(needs, device, running.get(device.id, ()))
    ]
    if not with_places:
        return DevicesFull(alone=needs.exclusive)
    worker, device = max(
        with_places, key=lambda each: free_for_more(each[1], running.get(each[1].id, ()))
    )
    jobs = running.get(device.id, ())
    left, foreign = free_for_more(device, jobs), foreign_use(device, jobs)
    label = device_label(device)
    if needs.memory <= left:
        return ForeignUse(device=label, worker=worker.name, foreign=foreign)
    return NoMemory(
        needed=needs.memory, free=left, device=label, worker=worker.name, foreign=foreign
    )


def _all_taken(needs: DeviceNeeds, device: Device, jobs: tuple[Admitted, ...]) -> bool:
    """Whether no further job can start on a GPU, however much memory is free."""
    memory = device.memory or 0
    return not has_room(
        replace(needs, memory=0), replace(device, free=memory, avoid_foreign=False), jobs
    )
