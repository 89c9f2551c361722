"""Reservations: an admin keeps a worker or a GPU for an owner or a label over a period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select

from versemill.errors import ConfigError, UnknownNameError
from versemill.jobs.notices import UnknownTarget
from versemill.jobs.service.rights import known_account, require_admin
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Reservation, User, Worker
from versemill.jobs.views import ReservationView
from versemill.normalisation import prepared_name

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from versemill.jobs.service.principal import Principal
    from versemill.jobs.storage.unit_of_work import Store

MOST_SECONDS = 366 * 24 * 3600.0


def reserve(
    store: Store,
    target: str,
    principal: Principal,
    *,
    starts_in: float,
    ends_in: float,
    owner: str | None = None,
    label: str | None = None,
) -> tuple[ReservationView, tuple[UnknownTarget, ...]]:
    """Keeps a target for the jobs of an owner, or for jobs that ask for a label.

    Args:
        store: where to.
        target: name of a worker, or UUID of a GPU.
        principal: who asks.
        starts_in: seconds from now, in the database's time; not in the past.
        ends_in: seconds from now.
        owner: whose jobs may start there; None if `label` says it.
        label: what jobs that may start there ask for.

    Returns:
        The reservation, and a notice if no live worker has such a name or GPU.

    Raises:
        ConfigError: the period is empty, too long or past, another reservation of the target
            overlaps it, or neither or both of owner and label are given.
        ForbiddenError: the principal is no admin.
        UnknownNameError: no such owner.
    """
    if (owner is None) == (label is None):
        raise ConfigError("reservation", target, "either an owner or a label")
    if not 0 <= starts_in < ends_in <= MOST_SECONDS:
        period = f"from {starts_in:.0f} s to {ends_in:.0f} s from now"
        raise ConfigError(
            "reservation", period, "a period that ends after it starts, within a year"
        )
    target = prepared_name(target, "target")
    with store.unit_of_work() as uow:
        require_admin(uow.session, principal, "reserve devices")
        uow.lock("claims")  # one at a time
        values: dict[str, Any] = {
            "target": target,
            "owner_id": None if owner is None else known_account(uow.session, owner).id,
            "label": None if label is None else prepared_name(label, "label"),
            "starts_at": db_now(starts_in),
            "ends_at": db_now(ends_in),
            "created_by": principal.name,
        }
        _refuse_overlap(uow.session, target, starts_in, ends_in)
        new = insert(Reservation).values(values).returning(Reservation.id)
        reservation_id = uow.execute(new).scalar_one()
        (made,) = _views(uow.session, reservation_id)
        unknown = () if _known_target(uow.session, target) else (UnknownTarget(target=target),)
        uow.commit()
    return made, unknown


def reservations(store: Store) -> list[ReservationView]:
    """Those that hold or are to come, by their start."""
    with store.reading() as session:
        return _views(session)


def cancel_reservation(store: Store, reservation_id: int, principal: Principal) -> ReservationView:
    """Ends a reservation, or keeps it from beginning. Jobs that were to leave may stay.

    Raises:
        ForbiddenError: the principal is no admin.
        UnknownNameError: there is no such reservation, or it is over.
    """
    with store.unit_of_work() as uow:
        require_admin(uow.session, principal, "cancel reservations")
        found = _views(uow.session, reservation_id)
        if not found:
            known = [str(view.id) for view in _views(uow.session)]
            raise UnknownNameError("reservation", str(reservation_id), known)
        uow.execute(delete(Reservation).where(Reservation.id == reservation_id))
        uow.commit()
    return found[0]


def _refuse_overlap(session: Session, target: str, starts_in: float, ends_in: float) -> None:
    overlapping = select(Reservation.id).where(
        Reservation.target == target,
        Reservation.starts_at < db_now(ends_in),
        Reservation.ends_at > db_now(starts_in),
    )
    other = session.scalar(overlapping.order_by(Reservation.starts_at).limit(1))
    if other is None:
        return
    (view,) = _views(session, other)
    raise ConfigError("target", target, f"a target that is not reserved already ({view})")


def _known_target(session: Session, target: str) -> bool:
    for name, devices in session.execute(select(Worker.name, Worker.devices)):
        if target == name or any(target == device["id"] for device in devices or ()):
            return True
    return False


def _views(session: Session, reservation_id: int | None = None) -> list[ReservationView]:
    columns = (Reservation.id, Reservation.target, Reservation.label, Reservation.starts_at)
    query = (
        select(
            *columns,
            Reservation.ends_at,
            Reservation.created_by,
            User.name.label("owner"),
            (Reservation.starts_at <= db_now()).label("active"),
        )
        .outerjoin(User, User.id == Reservation.owner_id)
        .where(Reservation.ends_at > db_now())
        .order_by(Reservation.starts_at, Reservation.id)
    )
    if reservation_id is not None:
        query = query.where(Reservation.id == reservation_id)
    return [ReservationView(**row._mapping) for row in session.execute(query)]
