"""Following a job: what is new of it each time one looks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from versemill.errors import DatabaseError
from versemill.jobs.service.listings import curve, details, find, lyrics
from versemill.jobs.service.why_waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.jobs.notices import WaitingReason
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import CurvePoint, EventView, JobView, LyricView

POLL_SECONDS = 0.25
_AWAY_SECONDS = 60.0
_WAITS_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class News:
    """What is new of a job.

    Attributes:
        job: the job as it is now; as it was, while the database does not answer.
        answered: whether the database answered.
        reports: reports that came since, by step.
        lyrics: what was written at these reports.
        events: what happened since.
        waiting: why it waits; given once per reason, when that has been so for a while.
    """

    job: JobView
    answered: bool = True
    reports: tuple[CurvePoint, ...] = ()
    lyrics: tuple[LyricView, ...] = ()
    events: tuple[EventView, ...] = ()
    waiting: WaitingReason | None = None

    @property
    def stopped(self) -> bool:
        """Whether nothing more happens unless a person asks for it."""
        return stopped(self.job)


def stopped(job: JobView) -> bool:
    """Whether a job has ended or is paused."""
    return job.state.ended or job.state == "paused"


def follow(store: Store, job: JobView, *, from_start: bool = False) -> Iterator[News]:
    """What is new of a job, four times a second, until it has ended or is paused.

    Args:
        store: where it is.
        job: the job as it is now.
        from_start: begin with all that happened before, as for a job just submitted.

    Raises:
        DatabaseError: the database has been away for a minute.
    """
    watch = _Watch(store, job, from_start=from_start)
    while True:
        news = watch.look()
        yield news
        if news.stopped:
            return
        time.sleep(POLL_SECONDS)


class _Watch:
    """Knows what was seen of a job, and reads what is new."""

    def __init__(self, store: Store, job: JobView, *, from_start: bool) -> None:
        self._store = store
        self._seen = job
        self._step = -1 if from_start else job.step
        self._events = 0 if from_start else len(self._all_events())
        self._answered = time.monotonic()
        self._asked_at = time.monotonic()  # why it waits
        self._reason: WaitingReason | None = None
        self._results: WaitingReason | None = None

    def look(self) -> News:
        """What is new since the last look; raises as `follow` does."""
        try:
            job = find(self._store, str(self._seen.id))
            news = self._news(job)
        except DatabaseError:
            if time.monotonic() - self._answered > _AWAY_SECONDS:
                raise
            return News(job=self._seen, answered=False)
        self._answered = time.monotonic()
        self._seen = job
        return news

    def _news(self, job: JobView) -> News:
        seen = self._seen
        self._step = min(self._step, job.step)  # rewound: reports will come again
        reports: tuple[CurvePoint, ...] = ()
        written: tuple[LyricView, ...] = ()
        if job.step > self._step and (job.epoch != seen.epoch or stopped(job)):
            reports, written = self._new_reports()
        events: tuple[EventView, ...] = ()
        if _stage(job) != _stage(seen) or not self._events:
            events = self._new_events()
        why = self._why_waiting() if job.state == "queued" else None
        return News(job=job, reports=reports, lyrics=written, events=events, waiting=why)

    def _why_waiting(self) -> WaitingReason | None:
        if time.monotonic() - self._asked_at < _WAITS_SECONDS:
            return None
        before, self._reason = self._reason, waiting(self._store, self._seen.id)
        self._asked_at = time.monotonic()
        if self._reason == before != self._results:
            self._results = self._reason
            return self._reason
        return None

    def _new_events(self) -> tuple[EventView, ...]:
        events = self._all_events()
        new = events[self._events :]
        self._events = len(events)
        return new

    def _all_events(self) -> tuple[EventView, ...]:
        return details(self._store, self._seen.id).events

    def _new_reports(self) -> tuple[tuple[CurvePoint, ...], tuple[LyricView, ...]]:
        new = tuple(p for p in curve(self._store, self._seen.id) if p.step > self._step)
        if not new:
            return (), ()
        written = tuple(
            lyric
            for lyric in lyrics(self._store, self._seen.id)
            if self._step < lyric.step <= new[-1].step
        )
        self._step = new[-1].step
        return new, written


def _stage(job: JobView) -> tuple[object, ...]:
    """Changes whenever something has happened that is worth a line."""
    return job.attempt, job.state_shown, job.train_perplexity is None
