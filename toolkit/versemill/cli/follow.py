"""Following a job on the screen: its reports, lyrics and events as they come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from versemill.cli.exit_codes import INTERRUPTED
from versemill.cli.terminal.advice import notice_text
from versemill.cli.terminal.wording import indented, report_line, status_line

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.cli.terminal.screen import Screen
    from versemill.jobs.service.following import News
    from versemill.jobs.views import JobView

_LINE_SECONDS = 2.0


class NewsOnScreen:
    """Shows what is new of a job.

    Args:
        screen: where to.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._line_at = -_LINE_SECONDS

    def show(self, news: News) -> None:
        """Shows it in lines, and how the job stands below them."""
        if not news.answered:
            self._screen.status("the database does not answer; trying again")
            return
        self._show_reports(news)
        for event in news.events:
            self._screen.line(f"{event.actor}: {event.message}")
        if news.waiting is not None:
            self._screen.line(notice_text(news.waiting, job_id=news.job.id))
        self._screen.status(status_line(news.job))

    def _show_reports(self, news: News) -> None:
        """Every report with lyrics; of the others one every two seconds, and the last."""
        with_lyrics = {lyric.step for lyric in news.lyrics}
        for point in news.reports:
            due = time.monotonic() - self._line_at >= _LINE_SECONDS
            last = news.stopped and point is news.reports[-1]
            if not (point.step in with_lyrics or due or last):
                continue
            self._screen.line(report_line(point, news.job.epochs))
            self._line_at = time.monotonic()
            for lyric in news.lyrics:
                if lyric.step == point.step:
                    self._screen.line(f"  after {lyric.prefix!r}:")
                    for line in indented(lyric.text):
                        self._screen.line(line)


def follow_to_end(here: Installation, job: JobView) -> int:
    """Follows until the job has ended; Ctrl-C only stops following. Returns the exit code."""
    from versemill.cli.installation import ending_text, note
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.cli.terminal.screen import screen
    from versemill.jobs.service.following import follow, stopped

    with Interrupts() as interrupts:
        with screen() as shown:
            on_screen = NewsOnScreen(shown)
            for news in follow(here.store, job, from_start=True):
                on_screen.show(news)
                job = news.job
                if interrupts.count:
                    break
        if not stopped(job):
            note(f"job {job.id} ({job.name}) goes on without you; `versemill show {job.id}`")
            return INTERRUPTED
    note(ending_text(here, job))
    return 0 if job.state == "succeeded" else 1
