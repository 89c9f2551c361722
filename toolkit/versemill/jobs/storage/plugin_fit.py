"""Which waiting jobs fit the plugins that a worker has.

What a job requires is stored once for all jobs that require the same, and judged here, in Python:
only there versions have an order. A claim then looks into the queue of each kind of job that fits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from versemill.jobs.devices import ANY_DEVICE, DeviceNeeds
from versemill.jobs.storage.tables import StoredRequirements
from versemill.plugins.requirements import digest, from_json, lacking, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from versemill.jobs.storage.unit_of_work import UnitOfWork
    from versemill.plugins.requirements import OfferedPlugin, Requirement


def keep_requirements(
    uow: UnitOfWork, requirements: Iterable[Requirement], device: DeviceNeeds = ANY_DEVICE
) -> str:
    """Stores what a job requires, unless it is there already.

    Args:
        uow: the transaction to do it in.
        requirements: of plugins.
        device: of the device.

    Returns:
        What `Job.requirements` refers to them by.
    """
    stored, needs = to_json(requirements), device.to_json()
    name = digest(stored if needs is None else [*stored, {"device": needs}])
    values: dict[str, Any] = {"digest": name, "requirements": stored, "device": needs}
    uow.insert_if_absent(StoredRequirements, values, key="digest")
    return name


def required(session: Session, digest: str | None) -> tuple[tuple[Requirement, ...], DeviceNeeds]:
    """What a job requires of plugins and of its device (`keep_requirements`)."""
    columns = (StoredRequirements.requirements, StoredRequirements.device)
    found = session.execute(select(*columns).where(StoredRequirements.digest == digest)).first()
    if found is None:
        return (), ANY_DEVICE
    return from_json(found.requirements), DeviceNeeds.from_json(found.device)


def device_needs(session: Session, digest: str | None) -> DeviceNeeds:
    """What a job requires of its device."""
    found = select(StoredRequirements.device).where(StoredRequirements.digest == digest)
    return DeviceNeeds.from_json(session.scalar(found))


def fitting(session: Session, plugins: tuple[OfferedPlugin, ...] | None) -> dict[str, DeviceNeeds]:
    """The digests of all requirements whose plugins these are, with the device that they need.

    Args:
        session: a transaction.
        plugins: those that a worker has; None for whatever is required.
    """
    known = session.scalars(select(StoredRequirements.digest)).all()
    verdicts = _verdicts(plugins)
    fresh = [name for name in known if name not in verdicts]
    if fresh:
        columns = (StoredRequirements.requirements, StoredRequirements.device)
        stored = select(StoredRequirements.digest, *columns)
        for name, wanted, device in session.execute(
            stored.where(StoredRequirements.digest.in_(fresh))
        ):
            fits = plugins is None or not lacking(from_json(wanted), plugins)
            verdicts[name] = DeviceNeeds.from_json(device) if fits else None
    found = {name: verdicts[name] for name in known}
    return {name: needs for name, needs in found.items() if needs is not None}


@lru_cache(maxsize=8)
def _verdicts(_plugins: tuple[OfferedPlugin, ...] | None) -> dict[str, DeviceNeeds | None]:
    """What these plugins meet, as far as anybody has asked: neither ever changes."""
    return {}
