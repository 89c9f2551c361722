"""Notifying workers, after the commit, that there may be work; and what queueing a job returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from versemill.jobs.notices import BrokerAway, Notice
    from versemill.jobs.views import JobView

Wake = Callable[[], "BrokerAway | None"]
"""Notifies workers; returns why that failed, if it did; never raises. See `celery_client.wake`."""


def no_wake() -> None:
    """Notifies no worker: workers find the job by themselves within seconds."""


@dataclass(frozen=True, kw_only=True)
class Queued:
    """A job that is in the queue, durably.

    Attributes:
        job: the job.
        notices: what the user should know beside it.
    """

    job: JobView
    notices: tuple[Notice, ...] = ()

    @classmethod
    def after(cls, wake: Wake, job: JobView, notices: tuple[Notice, ...] = ()) -> Queued:
        """Notifies workers of a job that was committed, and returns it with all notices."""
        trouble = wake()
        return cls(job=job, notices=notices if trouble is None else (*notices, trouble))
