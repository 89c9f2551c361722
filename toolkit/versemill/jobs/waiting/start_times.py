"""When a waiting job is expected to start: from what runs, what comes first, and durations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.jobs.devices import CPU, has_room
from versemill.jobs.waiting.reasons import open_devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from versemill.jobs.devices import Device, DeviceNeeds
    from versemill.jobs.waiting.position import Place
    from versemill.jobs.waiting.snapshot import LiveWorker, Runner, Snapshot, Waiter

_EARLIER = 0.95
_SOONER_SECONDS = 2.0
_WIDTH_SECONDS = 30.0
_STEPS = 40
_LEAST_LEFT_SECONDS = 1.0
_OVERDUE_LEFT = 0.2
"""Part of the mean duration that a job is taken to run on which should have ended by now."""


def seconds_until(lanes: Sequence[float], ahead: int, each: float) -> float:
    """Seconds until a job starts after `ahead` others, each of which lasts `each` seconds.

    Every lane takes the next job as soon as it is free, so by a time t a lane that is free at r has
    started 1 + (t − r) / each of them, rounded down. The job starts when all lanes together have
    started one more than are ahead of it.

    Args:
        lanes: seconds until each place is free; at least one.
        ahead: jobs that start before.
        each: how long one lasts.
    """
    free = sorted(lanes)
    if ahead < len(free) and (ahead == 0 or free[ahead] <= free[0] + each):
        return free[ahead]
    if each <= 0:
        return free[0]
    low, high = free[0], free[0] + ahead * each
    for _ in range(_STEPS):
        middle = (low + high) / 2
        started = sum(1 + int((middle - r) / each) for r in free if r <= middle)
        low, high = (low, middle) if started > ahead else (middle, high)
        if high - low < 0.01 * each:
            break
    return high


def as_range(seconds: float) -> tuple[float, float]:
    """The earliest and the latest start, in seconds from now, for an expected one.

    The latest is twice the earliest plus 30 s: what is further away is known less well. Most of the
    range is later than expected, since jobs that are submitted meanwhile may come first and none
    can make it sooner but one that ends before its time.
    """
    earliest = max(0.0, _EARLIER * seconds - _SOONER_SECONDS)
    return earliest, 2 * earliest + _WIDTH_SECONDS


def expected_seconds(snapshot: Snapshot, job: Waiter, place: Place | None) -> float | None:
    """Seconds until a job is expected to start; None where nothing is known.

    Args:
        snapshot: of what runs, what waits, and how long jobs have taken.
        job: a job that some live worker can run.
        place: where it stands in the queue; None if it begins later.
    """
    able = open_devices(snapshot, job.requirements, job.owner_id, job.machine, job_id=job.id)
    before = {} if place is None else place.before
    lanes = _lanes(snapshot, snapshot.needs[job.requirements], able)
    each = _mean_ahead(snapshot, before)
    if not lanes or (before and each is None):
        return None
    soonest = max(0.0, job.available_at - snapshot.now, (job.begin_at or 0.0) - snapshot.now)
    found = max(soonest, seconds_until(lanes, sum(before.values()), each or 0.0))
    limit = snapshot.owners(CPU)[job.owner_id].limits.running
    if limit is None:
        return found
    own = _lanes_of_owner(snapshot, job.owner_id, limit)
    ahead, mean = before.get(job.owner_id, 0), snapshot.mean_duration(job.owner_id)
    if not own or (ahead and mean is None):
        return None
    return max(found, seconds_until(own, ahead, mean or 0.0))


def _mean_ahead(snapshot: Snapshot, before: Mapping[int, int]) -> float | None:
    """How long the jobs before take on average, each as its owner's have; None if not known."""
    means = {owner_id: snapshot.mean_duration(owner_id) for owner_id in before}
    known = {owner_id: mean for owner_id, mean in means.items() if mean is not None}
    count = sum(before[owner_id] for owner_id in known)
    return sum(before[i] * mean for i, mean in known.items()) / count if count else None


def _lanes(
    snapshot: Snapshot, needs: DeviceNeeds, able: Sequence[tuple[LiveWorker, Device]]
) -> list[float]:
    """Seconds until each place that a job could have is free; unknown ones are left out."""
    workers = {worker.id: worker for worker, _ in able}
    lanes = []
    for worker in workers.values():
        runs = [run for run in snapshot.running if run.worker_id == worker.id]
        lanes += [*_left(snapshot, runs), *[0.0] * (worker.slots - len(runs))]
    devices = {device.id: device for _, device in able}.values()
    if any(device.kind == CPU for device in devices):
        return lanes
    by_memory: list[float] = []
    for device in devices:
        by_memory += _lanes_of_device(snapshot, needs, device)
    return [max(both) for both in zip(sorted(lanes), sorted(by_memory), strict=False)]


def _lanes_of_device(snapshot: Snapshot, needs: DeviceNeeds, device: Device) -> list[float]:
    runs = [run for run in snapshot.running if run.device_id == device.id]
    left = sorted(_left(snapshot, runs))
    if needs.exclusive:
        return left[-1:] or [0.0] * has_room(needs, device, ())
    most = device.max_jobs
    if needs.memory and device.memory is not None:
        most = min(most, max(1, device.memory // needs.memory))
    room = has_room(needs, device, tuple(run.admitted for run in runs))
    return [*left, *[0.0] * (room * max(1, most - len(runs)))]


def _lanes_of_owner(snapshot: Snapshot, owner_id: int, limit: int) -> list[float]:
    """Seconds until each of the jobs ends that an owner may have running at once."""
    runs = [run for run in snapshot.running if run.owner_id == owner_id]
    lanes = sorted([*_left(snapshot, runs), *[0.0] * (limit - len(runs))])
    return lanes[max(0, len(runs) - limit) :] if limit else []


def _left(snapshot: Snapshot, runs: Iterable[Runner]) -> list[float]:
    """Seconds until each job ends: as reported, else as long as others took; known ones only."""
    found = []
    for run in runs:
        left, mean = run.seconds_left, snapshot.mean_duration(run.owner_id)
        if left is None and mean is not None:
            left = max(mean - run.seconds, _OVERDUE_LEFT * mean)
        if left is not None:
            found.append(max(left, _LEAST_LEFT_SECONDS))
    return found
