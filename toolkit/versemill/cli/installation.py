"""What nearly every command needs: the settings, the open store, and the job somebody means."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from versemill.cli.acting_for import acting_for
from versemill.cli.terminal.output import say, say_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from versemill.jobs.notices import Notice
    from versemill.jobs.service import JobsMeant, NamedByFile, Principal, Queued, TextSources, Wake
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobView
    from versemill.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Installation:
    """An installation in use.

    Attributes:
        settings: what the environment says.
        store: open until the block of `installation()` ends.
    """

    settings: Settings
    store: Store

    @property
    def principal(self) -> Principal:
        """Who calls the command, and for whom."""
        from versemill.jobs.service import Principal

        return Principal(self.settings.user, acting_for())

    def job(self, key: str) -> JobView:
        """The job meant by id, name or `@last` (one's own newest); raises `UnknownNameError`.

        Raises:
            JobStateError: an array is meant.
        """
        from versemill.jobs.service import find_one

        return find_one(self.store, key, self.principal)

    def jobs(self, key: str) -> JobsMeant:
        """The job meant, or the array by its name; raises as `job`."""
        from versemill.jobs.service import find_jobs

        return find_jobs(self.store, key, self.principal)

    def job_id(self, key: str | None) -> int | None:
        """The id of the job meant, if one is; raises as `job`."""
        return None if key is None else self.job(key).id

    def sources(self, named: NamedByFile | None = None) -> TextSources:
        """What the texts of corpora may be read from, standard input among it.

        Args:
            named: what of a job's corpus a job file says.
        """
        from versemill.jobs.service import TextSources

        stdin = None if sys.stdin is None else sys.stdin.buffer  # closed by whoever started us
        return TextSources(limit=self.settings.corpus_limit, stdin=stdin, named=named)

    @property
    def wake(self) -> Wake:
        """Tells workers that there may be work."""
        from versemill.jobs.celery_client import wake

        return wake(self.settings)


@contextmanager
def installation() -> Iterator[Installation]:
    """Opens the configured database, which is created silently at first use (SQLite)."""
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.settings import Settings

    settings = Settings.from_environment()
    store = Store.open(settings.database_url)
    try:
        yield Installation(settings=settings, store=store)
    finally:
        store.close()


def note(message: str) -> None:
    """A remark on stderr, where no script mistakes it for a result."""
    say(message, err=True)


def note_all(notices: Iterable[Notice]) -> None:
    """Tells what a use case has to tell beside its result."""
    from versemill.cli.terminal.advice import notice_text
    from versemill.jobs.notices import PluginPrinted

    for notice in notices:
        if isinstance(notice, PluginPrinted):
            say_text(notice.output, err=True, end="")
        else:
            note(notice_text(notice))


def ending_text(here: Installation, job: JobView) -> str:
    """How a job ended, or stands, and what can be done next."""
    from versemill.cli.terminal.advice import failure_text
    from versemill.cli.terminal.wording import ending, label
    from versemill.jobs.service import details

    if job.state != "failed":
        return ending(job)
    why = failure_text(job, details(here.store, job.id))
    return f"{label(job)} failed: {why}; `versemill show {job.id}` tells more"


def note_waiting(here: Installation, job: JobView) -> None:
    """Says why a job waits, unless a free slot may take it at once."""
    from versemill.cli.terminal.advice import notice_text
    from versemill.jobs.service import waiting

    why = waiting(here.store, job.id)
    if why is not None:
        note(notice_text(why, job_id=job.id))


def note_queued(here: Installation, queued: Queued) -> None:
    """Says that a job is queued again, and why it waits."""
    from versemill.cli.terminal.wording import label

    job = queued.job
    note_all(queued.notices)
    say(f"{label(job)} is queued, at epoch {job.epoch} of {job.epochs}")
    note_waiting(here, job)
