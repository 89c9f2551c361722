"""Forecasts of waiting jobs' starts, stored so that they can be scored.

Workers store them soon after a job is queued: one for each time that it is. Listing stores none.
A job that starts at once, or about which nothing is known within `KNOWN_WITHIN_SECONDS`, has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, select

from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plain_sql import SessionSQL
from versemill.jobs.storage.tables import Event, Forecast, Job
from versemill.jobs.waiting.queue_listing import WaitingJobs

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.waiting.queue_listing import Outlook

KNOWN_WITHIN_SECONDS = 60.0
_EVENTS_READ = 500
_EVENTS_AGAIN = 100
"""Events that are read twice: one with a lower number may be committed later."""
_STORED = exists().where(Forecast.job_id == Job.id, Forecast.queued_at == Job.queued_at)


class Forecaster:
    """Stores forecasts for jobs as they are queued. For one thread.

    Every way into the queue leaves an event, so that new events tell which jobs to look at; the
    cost does not depend on how many wait.

    Args:
        store: where the jobs are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: int | None = None
        self._unknown: set[int] = set()

    def look(self) -> int:
        """Stores forecasts for jobs queued since the last look; how many.

        Raises:
            DatabaseError: whatever the driver raised, in one line.
        """
        with self._store.reading() as session:
            fresh = self._fresh(session)
            wanted = _without_forecast(session, fresh | self._unknown)
            if not wanted:
                self._unknown = set()
                return 0
            found = WaitingJobs(SessionSQL(session)).outlooks(wanted)
        known = {i: outlook for i, outlook in found.items() if outlook.expected_start is not None}
        self._unknown = set(wanted) - set(known)
        return _keep(self._store, known) if known else 0

    def _fresh(self, session: Session) -> set[int]:
        """Jobs of which something has happened since the last look."""
        last = session.scalar(select(func.max(Event.id))) or 0
        if self._seen is None:
            self._seen = max(0, last - _EVENTS_READ)
        if last == self._seen:
            return set()
        after = max(0, self._seen - _EVENTS_AGAIN)
        rows = session.execute(
            select(Event.id, Event.job_id)
            .where(Event.id > after)
            .order_by(Event.id)
            .limit(_EVENTS_READ)
        ).all()
        self._seen = max([self._seen, *(row.id for row in rows)])
        return {row.job_id for row in rows}


def _without_forecast(session: Session, ids: set[int]) -> list[int]:
    """Those of the jobs that were queued a moment ago and have no forecast yet."""
    if not ids:
        return []
    return list(
        session.scalars(
            select(Job.id).where(
                Job.id.in_(ids),
                Job.state == State.QUEUED,
                Job.queued_at.between(db_now(-KNOWN_WITHIN_SECONDS), db_now()),
                Job.held.is_(False),
                ~_STORED,
            )
        )
    )


def _keep(store: Store, known: dict[int, Outlook]) -> int:
    waits = select(Job.id, Job.queued_at).where(
        Job.id.in_(known), Job.state == State.QUEUED, ~_STORED
    )
    with store.unit_of_work() as uow:
        rows: list[dict[str, Any]] = []
        for job_id, queued_at in uow.session.execute(waits.with_for_update(read=True)):
            expected = known[job_id].expected_start
            assert expected is not None  # noqa: S101 - others were left out
            times = {"earliest": expected[0], "latest": expected[1]}
            rows.append({"job_id": job_id, "queued_at": queued_at, **times})
        uow.put(Forecast, rows, key=("job_id", "queued_at"))
        uow.commit()
    return len(rows)
