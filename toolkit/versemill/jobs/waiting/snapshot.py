"""What decides about waiting jobs, read at one moment: people, workers, what runs, what waits.

The number of rows read does not depend on how many jobs wait: these come as counts, and single
ones by the index of waiting jobs.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from versemill.jobs.devices import ANY_CPU, Admitted, Device, DeviceNeeds
from versemill.jobs.execution.reserved_places import Reserved
from versemill.jobs.execution.scheduling import Limits, RunningJob, decayed, owner_now
from versemill.jobs.notices import AwaitedJob
from versemill.jobs.states import LEASE_SECONDS, Priority, State
from versemill.jobs.storage.plain_sql import NOW, among, in_seconds, json_value
from versemill.plugins.requirements import from_json, lacking, offered_from_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from versemill.jobs.execution.scheduling import Owner
    from versemill.jobs.storage.plain_sql import PlainSQL
    from versemill.jobs.waiting.position import Key
    from versemill.plugins.requirements import OfferedPlugin, Requirement

_FINISHED = 200
"""Attempts that durations are taken from: the last so many that succeeded."""
_IDS = 5000  # of one statement

_WAITS = "jobs.state = 'queued' AND jobs.held = false"


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """A job that waits. Times are seconds since 1970.

    Attributes:
        key: its place among its owner's jobs of its priority.
        machine: the kind of machine that it has to go on with; None if any will do.
        after: the jobs that it waits for, those in vain first.
    """

    id: int
    owner_id: int
    priority: Priority
    requirements: str
    key: Key
    queued_at: float
    available_at: float
    begin_at: float | None
    held: bool
    machine: str | None
    place_worker_id: str | None
    after: tuple[AwaitedJob, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Counted:
    """How many jobs of one owner, priority and set of requirements wait for their turn."""

    owner_id: int
    priority: Priority
    requirements: str
    count: int
    first_queued_at: float


@dataclass(frozen=True, kw_only=True)
class Runner:
    """A job that runs.

    Attributes:
        seconds: since this attempt was started.
        seconds_left: as last reported; None if not known.
    """

    job_id: int
    owner_id: int
    worker_id: str
    device_kind: str
    device_id: str | None
    seconds: float
    seconds_left: float | None
    admitted: Admitted


@dataclass(frozen=True, kw_only=True)
class LiveWorker:
    """A worker that is alive.

    Attributes:
        takes_all: whether it takes whatever job is next: it does not end, and is not there for one.
        plugins: those that jobs may require; None if not known yet.
    """

    id: str
    name: str
    slots: int
    takes_all: bool
    only_job: int | None
    drained: bool
    machines: tuple[str, ...] | None
    plugins: tuple[OfferedPlugin, ...] | None
    labels: tuple[str, ...]
    devices: tuple[Device, ...]


class Snapshot:
    """Everything about the queue but the waiting jobs, each part read when it is first needed.

    Args:
        sql: the transaction to read in.
    """

    def __init__(self, sql: PlainSQL) -> None:
        self._sql = sql
        self._now_sql = NOW[sql.dialect]

    @cached_property
    def now(self) -> float:
        """The database's time, in seconds since 1970."""
        found = in_seconds(self._sql.rows(f"SELECT {self._now_sql} AS now")[0]["now"])
        assert found is not None  # noqa: S101 - a database has a clock
        return found

    def owners(self, kind: str) -> dict[int, Owner]:
        """Everybody, as the policy sees them on devices of one kind."""
        if kind not in self._owners:
            self._owners[kind] = {row["id"]: self._owner(row, kind) for row in self._users}
        return self._owners[kind]

    @cached_property
    def owner_names(self) -> dict[int, str]:
        """The name of everybody."""
        return {row["id"]: row["name"] for row in self._users}

    @cached_property
    def running(self) -> tuple[Runner, ...]:
        """All jobs that run."""
        rows = self._sql.rows(
            "SELECT jobs.id, jobs.owner_id, jobs.worker_id, jobs.seconds_left,"
            " attempts.started_at, attempts.device_kind, attempts.device_id, attempts.share,"
            " attempts.memory, attempts.memory_used FROM jobs JOIN attempts"
            " ON attempts.job_id = jobs.id AND attempts.number = jobs.attempt"
            " WHERE jobs.state = 'running'"
        )
        return tuple(
            Runner(
                job_id=row["id"],
                owner_id=row["owner_id"],
                worker_id=row["worker_id"],
                device_kind=row["device_kind"],
                device_id=row["device_id"],
                seconds=max(0.0, self.now - _seconds(row["started_at"])),
                seconds_left=row["seconds_left"],
                admitted=Admitted(
                    job_id=row["id"],
                    share=row["share"],
                    memory=row["memory"] or 0,
                    used=row["memory_used"] or 0,
                ),
            )
            for row in rows
        )

    @cached_property
    def admitted(self) -> Mapping[str, tuple[Admitted, ...]]:
        """The jobs that run on each GPU, of whichever worker."""
        found: dict[str, tuple[Admitted, ...]] = defaultdict(tuple)
        for job in self.running:
            if job.device_id is not None:
                found[job.device_id] += (job.admitted,)
        return found

    @cached_property
    def workers(self) -> tuple[LiveWorker, ...]:
        """Those seen within the last lease, by name."""
        rows = self._sql.rows(
            "SELECT id, name, slots, machines, drained_by, plugins, labels, only_job, devices,"
            f" seen_at, {self._now_sql} AS now FROM workers ORDER BY name, started_at"
        )
        alive = (r for r in rows if _seconds(r["seen_at"]) >= _seconds(r["now"]) - LEASE_SECONDS)
        return tuple(_worker(row) for row in alive)

    @cached_property
    def device_holds(self) -> dict[str, int]:
        """Which GPU is kept free for which job."""
        rows = self._sql.rows("SELECT device_id, job_id FROM device_holds")
        return {row["device_id"]: row["job_id"] for row in rows}

    @cached_property
    def reserved(self) -> tuple[Reserved, ...]:
        """The reservations that hold now."""
        rows = self._sql.rows(
            "SELECT reservations.id, target, owner_id, label, starts_at, ends_at, users.name"
            " FROM reservations LEFT JOIN users ON users.id = owner_id ORDER BY reservations.id"
        )
        return tuple(
            Reserved(
                id=row["id"],
                target=row["target"],
                owner_id=row["owner_id"],
                label=row["label"],
                ends_at=datetime.fromtimestamp(_seconds(row["ends_at"]), UTC),
                whose=row["name"] if row["label"] is None else f"label {row['label']}",
            )
            for row in rows
            if _seconds(row["starts_at"]) <= self.now < _seconds(row["ends_at"])
        )

    @cached_property
    def needs(self) -> dict[str, DeviceNeeds]:
        """What each set of requirements needs of a device."""
        return {
            digest: DeviceNeeds.from_json(json_value(row["device"]))
            for digest, row in self._requirements.items()
        }

    def required(self, digest: str) -> tuple[Requirement, ...]:
        """The plugins that a set of requirements needs."""
        row = self._requirements.get(digest)
        return () if row is None else from_json(json_value(row["requirements"]))

    def equipped(self, digest: str) -> frozenset[str]:
        """The ids of the live workers that have the plugins."""
        if digest not in self._equipped:
            required = self.required(digest)
            self._equipped[digest] = frozenset(
                worker.id
                for worker in self.workers
                if worker.plugins is None or not lacking(required, worker.plugins)
            )
        return self._equipped[digest]

    @cached_property
    def counts(self) -> tuple[Counted, ...]:
        """How many jobs wait for their turn, without those that are to begin later."""
        rows = self._sql.rows(
            "SELECT owner_id, priority, requirements, count(*) AS count,"
            f" min(queued_at) AS first FROM jobs WHERE {_WAITS}"
            f" AND queued_at <= {self._now_sql} AND requirements IS NOT NULL"
            " GROUP BY owner_id, priority, requirements"
        )
        return tuple(
            Counted(
                owner_id=row["owner_id"],
                priority=Priority(row["priority"]),
                requirements=row["requirements"],
                count=row["count"],
                first_queued_at=_seconds(row["first"]),
            )
            for row in rows
        )

    @cached_property
    def durations(self) -> dict[int, tuple[float, ...]]:
        """How long the last attempts that succeeded took, in seconds, by owner."""
        rows = self._sql.rows(
            "SELECT jobs.owner_id, attempts.started_at, attempts.ended_at FROM attempts"
            " JOIN jobs ON jobs.id = attempts.job_id WHERE attempts.outcome = 'succeeded'"
            f" ORDER BY attempts.job_id DESC, attempts.number DESC LIMIT {_FINISHED}"
        )
        found: dict[int, tuple[float, ...]] = defaultdict(tuple)
        for row in rows:
            took = max(0.0, _seconds(row["ended_at"]) - _seconds(row["started_at"]))
            found[row["owner_id"]] += (took,)
        return found

    def mean_duration(self, owner_id: int | None = None) -> float | None:
        """How long an attempt takes, in seconds: of an owner's, or of all; None if none is known.

        Args:
            owner_id: whose; where none of theirs has succeeded, everybody's.
        """
        theirs = () if owner_id is None else self.durations.get(owner_id, ())
        known = theirs or [each for several in self.durations.values() for each in several]
        return sum(known) / len(known) if known else None

    def waiters(self, ids: Iterable[int]) -> dict[int, Waiter]:
        """Those of the jobs that wait."""
        wanted, found = list(ids), {}
        for start in range(0, len(wanted), _IDS):
            condition, values = among("id", wanted[start : start + _IDS], "id")
            rows = self._sql.rows(
                "SELECT id, owner_id, priority, requirements, queued_at, available_at, begin_at,"
                " held, machine, inexact, place_worker_id FROM jobs"
                f" WHERE state = 'queued' AND {condition}",
                values,
            )
            found.update({row["id"]: _waiter(row) for row in rows})
        return self._with_dependencies(found)

    def keys(
        self, owner_id: int, priority: Priority, requirements: Collection[str], most: int
    ) -> list[Key]:
        """The keys of an owner's first jobs of one priority, in queue order."""
        condition, values = among("requirements", sorted(requirements), "needs")
        rows = self._sql.rows(
            f"SELECT queued_at, id FROM jobs WHERE {_WAITS} AND owner_id = :owner"
            f" AND priority = :priority AND {condition} AND queued_at <= {self._now_sql}"
            " ORDER BY queued_at, id LIMIT :most",
            {"owner": owner_id, "priority": priority.value, "most": most, **values},
        )
        return [(row["queued_at"], row["id"]) for row in rows]

    def keys_at(
        self, requirements: Collection[str], wanted: Collection[tuple[int, Priority, int]]
    ) -> dict[tuple[int, Priority, int], Key]:
        """The keys of jobs by owner, priority, and number among these in queue order, from 1."""
        owned, values = among("owner_id", sorted({each[0] for each in wanted}), "owner")
        fits, needed = among("requirements", sorted(requirements), "needs")
        placed, numbers = among("number", sorted({each[2] for each in wanted})[:_IDS], "number")
        rows = self._sql.rows(
            "SELECT owner_id, priority, number, queued_at, id FROM (SELECT owner_id, priority,"
            " queued_at, id, row_number() OVER"
            " (PARTITION BY owner_id, priority ORDER BY queued_at, id) AS number FROM jobs"
            f" WHERE {_WAITS} AND {owned} AND {fits}"
            f" AND queued_at <= {self._now_sql}) AS numbered WHERE {placed}",
            {**values, **needed, **numbers},
        )
        return {
            (row["owner_id"], Priority(row["priority"]), row["number"]): (
                row["queued_at"],
                row["id"],
            )
            for row in rows
        }

    def numbers(self, jobs: Collection[Waiter], requirements: Collection[str]) -> dict[int, int]:
        """The number of each job among its owner's of its priority, from 1, in queue order."""
        owned, values = among("owner_id", sorted({job.owner_id for job in jobs}), "owner")
        fits, needed = among("requirements", sorted(requirements), "needs")
        ranked, levels = among("priority", sorted({job.priority.value for job in jobs}), "level")
        few = [job.id for job in jobs] if len(jobs) <= _IDS else ()
        chosen, ids = among("id", few, "id") if few else ("1 = 1", {})
        rows = self._sql.rows(
            "SELECT id, number FROM (SELECT id, row_number() OVER"
            " (PARTITION BY owner_id, priority ORDER BY queued_at, id) AS number FROM jobs"
            f" WHERE {_WAITS} AND {owned} AND {ranked} AND {fits}"
            f" AND queued_at <= {self._now_sql}) AS numbered WHERE {chosen}",
            {**values, **needed, **levels, **ids},
        )
        return {row["id"]: row["number"] for row in rows}

    @cached_property
    def _owners(self) -> dict[str, dict[int, Owner]]:
        return {}

    @cached_property
    def _equipped(self) -> dict[str, frozenset[str]]:
        return {}

    @cached_property
    def _requirements(self) -> dict[str, Any]:
        rows = self._sql.rows("SELECT digest, requirements, device FROM requirements")
        return {row["digest"]: row for row in rows}

    @cached_property
    def _users(self) -> list[Any]:
        return self._sql.rows(
            "SELECT id, name, role, disabled, running_limit, queued_limit, gpu_limit, urgent_limit"
            " FROM users"
        )

    @cached_property
    def _used(self) -> dict[tuple[int, str], float]:
        """What everybody has used of each kind of device, decayed up to now."""
        rows = self._sql.rows("SELECT owner_id, kind, seconds, as_of FROM usage")
        return {
            (r["owner_id"], r["kind"]): decayed(r["seconds"], self.now - _seconds(r["as_of"]))
            for r in rows
        }

    @cached_property
    def _started(self) -> dict[int, dict[Priority, float]]:
        found: dict[int, dict[Priority, float]] = defaultdict(dict)
        for row in self._sql.rows("SELECT owner_id, priority, at FROM last_starts"):
            found[row["owner_id"]][Priority(row["priority"])] = _seconds(row["at"])
        return found

    def _owner(self, row: Any, kind: str) -> Owner:
        return owner_now(
            self._used.get((row["id"], kind), 0.0),
            [
                RunningJob(kind=job.device_kind, share=job.admitted.share, seconds=job.seconds)
                for job in self.running
                if job.owner_id == row["id"]
            ],
            kind=kind,
            started=self._started.get(row["id"], {}),
            limits=Limits(
                running=row["running_limit"],
                queued=row["queued_limit"],
                gpus=row["gpu_limit"],
                urgent=None if row["role"] == "admin" else row["urgent_limit"],
            ),
            disabled=bool(row["disabled"]),
        )

    def _with_dependencies(self, found: dict[int, Waiter]) -> dict[int, Waiter]:
        held = [job.id for job in found.values() if job.held]
        after: dict[int, list[AwaitedJob]] = defaultdict(list)
        for start in range(0, len(held), _IDS):
            condition, values = among("job_id", held[start : start + _IDS], "id")
            rows = self._sql.rows(
                "SELECT job_id, condition, jobs.id, jobs.name, jobs.state FROM dependencies"
                f" JOIN jobs ON jobs.id = after_id WHERE {condition} ORDER BY after_id",
                values,
            )
            for row in rows:
                job = AwaitedJob(
                    id=row["id"],
                    name=row["name"],
                    state=State(row["state"]),
                    condition=row["condition"],
                )
                after[row["job_id"]].append(job)
        for jobs in after.values():
            jobs.sort(key=lambda job: not job.hopeless)
        return {
            i: replace(job, after=tuple(after[i])) if job.held else job for i, job in found.items()
        }


def _seconds(value: Any) -> float:
    found = in_seconds(value)
    return 0.0 if found is None else found


def _waiter(row: Any) -> Waiter:
    return Waiter(
        id=row["id"],
        owner_id=row["owner_id"],
        priority=Priority(row["priority"]),
        requirements=row["requirements"] or "",
        key=(row["queued_at"], row["id"]),
        queued_at=_seconds(row["queued_at"]),
        available_at=_seconds(row["available_at"]),
        begin_at=in_seconds(row["begin_at"]),
        held=bool(row["held"]),
        machine=None if row["inexact"] else row["machine"],
        place_worker_id=row["place_worker_id"],
    )


def _worker(row: Any) -> LiveWorker:
    machines, plugins = json_value(row["machines"]), json_value(row["plugins"])
    devices = json_value(row["devices"])
    return LiveWorker(
        id=row["id"],
        name=row["name"],
        slots=row["slots"],
        takes_all=row["drained_by"] is None and row["only_job"] is None,
        only_job=row["only_job"],
        drained=row["drained_by"] is not None,
        machines=None if machines is None else tuple(machines),
        plugins=None if plugins is None else offered_from_json(plugins),
        labels=tuple(json_value(row["labels"]) or ()),
        devices=(ANY_CPU,) if devices is None else tuple(map(Device.from_json, devices)),
    )
