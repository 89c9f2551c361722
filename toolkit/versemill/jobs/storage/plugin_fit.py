"""Which waiting jobs fit the plugins that a worker has.

What a job requires is stored once for all jobs that require the same, and judged here, in Python:
only there versions have an order. A claim then looks into the queue of each kind of job that fits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from versemill.jobs.storage.tables import StoredRequirements
from versemill.plugins.requirements import digest, from_json, lacking, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from versemill.jobs.storage.unit_of_work import UnitOfWork
    from versemill.plugins.requirements import OfferedPlugin, Requirement


def keep_requirements(uow: UnitOfWork, requirements: Iterable[Requirement]) -> str | None:
    """Stores requirements, unless they are there already.

    Returns:
        What `Job.requirements` refers to them by; None where nothing is required.
    """
    stored = to_json(requirements)
    if not stored:
        return None
    values: dict[str, Any] = {"digest": digest(stored), "requirements": stored}
    uow.insert_if_absent(StoredRequirements, values, key="digest")
    return str(values["digest"])


def fitting(session: Session, plugins: tuple[OfferedPlugin, ...] | None) -> list[str]:
    """The digests of all requirements that these plugins meet; of all there are if None."""
    known = session.scalars(select(StoredRequirements.digest)).all()
    if plugins is None:
        return list(known)
    verdicts = _verdicts(plugins)
    fresh = [name for name in known if name not in verdicts]
    if fresh:
        stored = select(StoredRequirements.digest, StoredRequirements.requirements).where(
            StoredRequirements.digest.in_(fresh)
        )
        for name, wanted in session.execute(stored):
            verdicts[name] = not lacking(from_json(wanted), plugins)
    return [name for name in known if verdicts[name]]


@lru_cache(maxsize=8)
def _verdicts(_plugins: tuple[OfferedPlugin, ...]) -> dict[str, bool]:
    """Which requirements these plugins meet, as far as anybody has asked: neither ever changes."""
    return {}
