"""What nearly every command needs: the settings, the open store, and the job somebody means."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    def job(self, key: str) -> JobView:
        """The job meant by id, name or `@last` (one's own newest); raises `UnknownNameError`."""
        from versemill.jobs.service import find

        return find(self.store, key, owner=self.settings.user)

    @property
    def wake(self) -> Callable[[], None]:
        """Tells workers that there may be work; a broker that is away costs a note on stderr."""
        from versemill.jobs.celery_client import wake

        return wake(self.settings, warn=note)


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
    from versemill.cli.terminal.tables import harmless

    click.echo(harmless(message), err=True)


def note_waiting(here: Installation, job: JobView) -> None:
    """Says why a job waits, unless a free slot may take it at once."""
    from versemill.jobs.service import waiting

    why = waiting(here.store, job.id)
    if why is not None:
        note(why)
