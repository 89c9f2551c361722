"""The jobs meant by a key: one, or all of an array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from versemill.errors import JobStateError, UnknownNameError
from versemill.jobs.service.listings import find, jobs
from versemill.jobs.storage.tables import Job
from versemill.normalisation import spellings
from versemill.phrases import counted

if TYPE_CHECKING:
    from versemill.jobs.service.principal import Principal
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobView


@dataclass(frozen=True, kw_only=True)
class JobsMeant:
    """What somebody means by a key.

    Attributes:
        array: the array's name; None if a single job is meant.
        jobs: the job, or the members of the array by id.
    """

    array: str | None
    jobs: tuple[JobView, ...]


def find_jobs(store: Store, key: str, principal: Principal | None = None) -> JobsMeant:
    """The job, or the array, that people mean by `key`.

    Args:
        store: where the jobs are.
        key: an id, a name, `@last`, or the name of an array. No job has the name of an array.
        principal: who asks.

    Raises:
        UnknownNameError: no such job and no such array.
        ConfigError: `key` is no text.
    """
    try:
        return JobsMeant(array=None, jobs=(find(store, key, principal),))
    except UnknownNameError:
        array = array_named(store, key)
        if array is None:
            raise
        members = jobs(store, limit=None, array=array)
        return JobsMeant(array=array, jobs=tuple(reversed(members)))


def find_one(store: Store, key: str, principal: Principal | None = None) -> JobView:
    """The one job meant; raises as `find_jobs`, and `JobStateError` for an array."""
    meant = find_jobs(store, key, principal)
    if meant.array is not None:
        raise JobStateError(
            f"{meant.array} is an array of {counted(len(meant.jobs), 'job')}, and one job is "
            f"wanted, such as {meant.jobs[0].name}",
            reason="array",
            name=meant.array,
        )
    return meant.jobs[0]


def array_named(store: Store, name: str) -> str | None:
    """The array called so, as it is stored; None if there is none."""
    query = select(Job.array_name).where(Job.array_name.in_(spellings(name))).limit(1)
    with store.reading() as session:
        return session.scalar(query)


def recent_arrays(store: Store) -> list[str]:
    """The names of a few new arrays."""
    newest = func.max(Job.id).desc()
    query = select(Job.array_name).where(Job.array_name.is_not(None)).group_by(Job.array_name)
    with store.reading() as session:
        return [name for name in session.scalars(query.order_by(newest).limit(5)) if name]
