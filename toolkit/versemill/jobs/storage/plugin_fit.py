"""Which waiting jobs fit the plugins that a worker has.

What a job needs is stored once for all jobs that need the same, and judged here, in Python: only
there versions have an order. A claim then looks into the queue of each kind of job that fits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from versemill.jobs.storage.tables import StoredNeeds
from versemill.plugins.requirements import Need, digest, from_json, lacking, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from versemill.jobs.storage.unit_of_work import UnitOfWork
    from versemill.plugins.requirements import Plugin


def keep_needs(uow: UnitOfWork, needs: Iterable[Need]) -> str | None:
    """Stores needs, unless they are there already.

    Returns:
        What `Job.needs` refers to them by; None where nothing is needed.
    """
    records = to_json(needs)
    if not records:
        return None
    values: dict[str, Any] = {"digest": digest(records), "needs": records}
    uow.insert_if_absent(StoredNeeds, values, key="digest")
    return str(values["digest"])


def fitting(session: Session, plugins: tuple[Plugin, ...] | None) -> list[str]:
    """The digests of all needs that these plugins meet; of all there are if None."""
    known = session.scalars(select(StoredNeeds.digest)).all()
    if plugins is None:
        return list(known)
    verdicts = _verdicts(plugins)
    fresh = [name for name in known if name not in verdicts]
    if fresh:
        stored = select(StoredNeeds.digest, StoredNeeds.needs).where(StoredNeeds.digest.in_(fresh))
        for name, needs in session.execute(stored):
            verdicts[name] = not lacking(from_json(needs), plugins)
    return [name for name in known if verdicts[name]]


@lru_cache(maxsize=8)
def _verdicts(_plugins: tuple[Plugin, ...]) -> dict[str, bool]:
    """Which needs these plugins meet, as far as anybody has asked: neither ever changes."""
    return {}
