"""The drill's jobs: small ones of every cell, and what people ask of them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from versemill.config.recipes import apply_overrides
from versemill.errors import DatabaseError, JobStateError, UnknownNameError
from versemill.jobs import celery_client, service
from versemill.jobs.service import Principal, Submission
from versemill.jobs.states import Priority, State
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.text.corpus import Text

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobView
    from versemill.settings import Settings

SONG = "小船摇呀摇\n摇到月亮桥\n桥上的人不分开\n分开的人桥下笑\n"
TEXT = Text(tuple(SONG.replace("月", character) for character in "月星云雨风雪花草山水火土"))
SMALL = {
    "prefixes": ["分开"],
    "model.hidden_size": 16,
    "model.embedding_size": 8,
    "training.batch_size": 4,
    "training.window": 10,
    "training.epochs": 120,
    "training.report_every": 40,
    "training.patience": 0,
    "generation.length": 12,
}
KINDS: tuple[dict[str, Any], ...] = (
    {"cell": "gru", "sampler": "consecutive", "model.dropout": 0.2},
    {"cell": "rnn", "sampler": "random"},
    {"cell": "lstm", "sampler": "consecutive"},
)
"""Jobs of one kind end the same, bit for bit."""

WAITING = 8
"""So many jobs are kept waiting, for whatever slot is free."""
OWNERS = ("ann", "bo", "chen")
PRIORITIES = (Priority.NORMAL, Priority.LOW, Priority.NORMAL, Priority.HIGH)
ADMIN = Principal(OWNERS[0])
"""Who submits first is admin."""
_LOOK_SECONDS = 0.2


@dataclass(kw_only=True)
class Workload:
    """Submits jobs and remembers what was promised.

    Attributes:
        accepted: ids of jobs whose submit returned, or was found to have worked; by kind.
        refused: submits that failed, with nothing promised.
    """

    store: Store
    settings: Settings
    accepted: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    submits: int = 0

    def submit(self, kind: int) -> JobView | None:
        """Queues a job; None if it was refused."""
        self.submits += 1
        name = f"drill-{self.submits}"
        config = resolve(apply_overrides({}, SMALL | KINDS[kind]), Registry.discover())
        wake = celery_client.wake(self.settings)
        owner = Principal(OWNERS[(self.submits - 1) % len(OWNERS)])
        priority = PRIORITIES[self.submits % len(PRIORITIES)]
        submission = Submission(config=config, text=TEXT, plugins=[], name=name, priority=priority)
        try:
            job = service.enqueue(self.store, submission, owner, wake=wake).job
        except DatabaseError:
            found = self._look_for(name)
            if found is None:
                self.refused += 1
                return None
            job = found
        self.accepted[job.id] = kind
        return job

    def _look_for(self, name: str) -> JobView | None:
        """What a person does who was not told: looks, as soon as the database is there again."""
        while True:
            try:
                return service.find(self.store, name)
            except UnknownNameError:
                return None
            except DatabaseError:
                time.sleep(_LOOK_SECONDS)

    def submit_until(self, enough: threading.Event) -> None:
        """Submits another job whenever few wait, until it is enough."""
        while not enough.wait(_LOOK_SECONDS):
            with contextlib.suppress(DatabaseError):
                waiting = service.jobs(self.store, states=[State.QUEUED], limit=WAITING)
                if len(waiting) < WAITING:
                    self.submit(self.submits % len(KINDS))

    def jobs(self, *states: State) -> list[JobView]:
        """Accepted jobs in one of these states, or all; none while the database is away."""
        with contextlib.suppress(DatabaseError):
            found = service.jobs(self.store, states=states or None, limit=None)
            return [job for job in found if job.id in self.accepted]
        return []

    def ask(self, what: Callable[..., object], job: JobView, **options: Any) -> bool:
        """Asks something of a job; whether it could be asked."""
        try:
            what(self.store, job.id, ADMIN, **options)
        except (DatabaseError, JobStateError):
            return False
        return True

    def limit(self, owner: str, running: int | None) -> bool:
        """Limits how many jobs of an owner run; whether that could be done."""
        try:
            service.set_limits(self.store, owner, {"running": running}, ADMIN)
        except (DatabaseError, UnknownNameError):
            return False
        return True

    def resume_and_retry(self) -> int:
        """Resumes what is paused and retries what was cancelled or given up; how many failed."""
        for job in self.jobs(State.PAUSED):
            self.ask(service.resume, job)
        failed = self.jobs(State.FAILED)
        for job in [*failed, *self.jobs(State.CANCELLED)]:
            self.ask(service.retry, job)
        return len(failed)
