"""Following a job: its reports, lyrics and events as they come, until it has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from versemill.cli.exit_codes import INTERRUPTED
from versemill.cli.terminal.wording import indented, report_line, status_line

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.cli.terminal.screen import Screen
    from versemill.jobs.views import CurvePoint, EventView, JobView

POLL_SECONDS = 0.25
_LINE_SECONDS = 2.0
_AWAY_SECONDS = 60.0
_WAITS_SECONDS = 5.0


class Follower:
    """Reads what is new of a job and shows it. Begins with what comes after the present moment.

    Args:
        here: the installation.
        job: the job as it is now.
        screen: where to.
        from_start: show also what happened before, as for a job just submitted.
    """

    def __init__(
        self, here: Installation, job: JobView, screen: Screen, *, from_start: bool = False
    ) -> None:
        self._here = here
        self._id = job.id
        self._screen = screen
        self._seen = job
        self._shown_step = -1 if from_start else job.step
        self._events = 0 if from_start else len(self._all_events())
        self._line_at = -_LINE_SECONDS
        self._held: CurvePoint | None = None
        self._answered = time.monotonic()
        self._asked_at = time.monotonic()  # why it waits
        self._reason: str | None = None
        self._told: str | None = None

    def poll(self) -> JobView:
        """Shows what is new and returns the job.

        Raises:
            DatabaseError: the database has been away for a minute.
        """
        from versemill.errors import DatabaseError
        from versemill.jobs import service

        try:
            job = service.find(self._here.store, str(self._id))
            self._show(job)
        except DatabaseError:
            if time.monotonic() - self._answered > _AWAY_SECONDS:
                raise
            self._screen.status("the database does not answer; trying again")
            return self._seen
        self._answered = time.monotonic()
        self._seen = job
        return job

    def _show(self, job: JobView) -> None:
        seen = self._seen
        self._shown_step = min(self._shown_step, job.step)  # rewound: reports will come again
        if job.step > self._shown_step and (job.epoch != seen.epoch or _stopped(job)):
            self._show_reports(final=_stopped(job))
        if _stage(job) != _stage(seen) or not self._events:
            self._show_events()
        if job.state == "queued":
            self._show_reason()
        self._screen.status(status_line(job))

    def _show_reason(self) -> None:
        """Tells why it waits, once that has been so for a while."""
        from versemill.jobs import service

        if time.monotonic() - self._asked_at < _WAITS_SECONDS:
            return
        before, self._reason = self._reason, service.waiting(self._here.store, self._id)
        self._asked_at = time.monotonic()
        if self._reason == before != self._told and self._reason is not None:
            self._told = self._reason
            self._screen.line(self._reason)

    def _show_events(self) -> None:
        events = self._all_events()
        for event in events[self._events :]:
            self._screen.line(f"{event.actor}: {event.message}")
        self._events = len(events)

    def _all_events(self) -> tuple[EventView, ...]:
        from versemill.jobs import service

        return service.details(self._here.store, self._id).events

    def _show_reports(self, *, final: bool) -> None:
        """Every report with lyrics; of the others one every two seconds, and the last."""
        from versemill.jobs import service

        new = [p for p in service.curve(self._here.store, self._id) if p.step > self._shown_step]
        if not new:
            return
        lyrics = [
            lyric
            for lyric in service.lyrics(self._here.store, self._id)
            if self._shown_step < lyric.step <= new[-1].step
        ]
        with_lyrics = {lyric.step for lyric in lyrics}
        for point in new:
            due = time.monotonic() - self._line_at >= _LINE_SECONDS
            last = final and point is new[-1]
            if not (point.step in with_lyrics or due or last):
                continue
            self._screen.line(report_line(point, self._seen.epochs))
            self._line_at = time.monotonic()
            for lyric in lyrics:
                if lyric.step == point.step:
                    self._screen.line(f"  after {lyric.prefix!r}:")
                    self._screen.line("\n".join(indented(lyric.text)))
        self._shown_step = new[-1].step


def follow_to_end(here: Installation, job: JobView) -> int:
    """Follows until the job has ended; Ctrl-C only stops following. Returns the exit code."""
    from versemill.cli.installation import note
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.cli.terminal.screen import screen
    from versemill.cli.terminal.wording import ending

    with Interrupts() as interrupts:
        with screen() as shown:
            follower = Follower(here, job, shown, from_start=True)
            job = follower.poll()
            while not _stopped(job) and not interrupts.count:
                time.sleep(POLL_SECONDS)
                job = follower.poll()
        if not _stopped(job):
            note(f"job {job.id} ({job.name}) goes on without you; `versemill show {job.id}`")
            return INTERRUPTED
    note(ending(job))
    return 0 if job.state == "succeeded" else 1


def _stage(job: JobView) -> tuple[object, ...]:
    """Changes whenever something has happened that is worth a line."""
    return job.attempt, job.state_shown, job.train_perplexity is None


def _stopped(job: JobView) -> bool:
    return job.state.ended or job.state == "paused"
