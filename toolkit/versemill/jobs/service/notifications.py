"""Who is told what of their jobs, and where: `execution.deliveries` records, a worker sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, exists, func, insert, select

from versemill.errors import ConfigError, MissingPackageError, UnknownNameError
from versemill.jobs.execution.deliveries import (
    TOLD,
    Message,
    give_up_lost_messages,
    message_lost,
    message_refused,
    message_sent,
    record_deliveries,
    take_message,
)
from versemill.jobs.notices import NoDevice, OtherMachines, PluginsMissing
from versemill.jobs.service.receivers import Outcome, check_url, deliver, shown_url
from versemill.jobs.service.rights import find_account, own_account, require_owner
from versemill.jobs.service.why_waiting import waiting
from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Delivery, Job, Subscription
from versemill.jobs.views import SubscriptionView

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

    from versemill.jobs.service.principal import Principal
    from versemill.jobs.storage.unit_of_work import Store

WAITED_SECONDS = 60.0
"""How long a job has waited before its owner is told why."""

_LOOKED_AT = 20  # jobs of one owner


def subscribe(
    store: Store, url: str, principal: Principal, *, events: Collection[str] = TOLD
) -> SubscriptionView:
    """Has somebody told what happens to their jobs from now on.

    Args:
        store: where the jobs are.
        url: of the receiver, as apprise takes it.
        principal: whose jobs.
        events: what of, some of `TOLD`.

    Raises:
        ConfigError: the URL is none of a receiver, or an event is unknown.
        MissingPackageError: apprise is not installed.
    """
    unknown = [event for event in events if event not in TOLD]
    if unknown or not events:
        allowed = f"some of {', '.join(TOLD)}"
        raise ConfigError("events", ", ".join(unknown), allowed)
    check_url(url)
    wanted = [event for event in TOLD if event in events]
    with store.unit_of_work() as uow:
        owner = own_account(uow, principal.name)
        values = {"owner_id": owner.id, "url": url, "events": wanted}
        number = uow.execute(
            insert(Subscription).values(values).returning(Subscription.id)
        ).scalar_one()
        uow.commit()
    return next(view for view in subscriptions(store, principal) if view.id == number)


def subscriptions(store: Store, principal: Principal) -> list[SubscriptionView]:
    """One's own, with what has become of the messages."""
    with store.reading() as session:
        owner = find_account(session, principal.name)
        if owner is None:
            return []
        query = select(
            Subscription.id, Subscription.url, Subscription.events, Subscription.created_at
        ).where(Subscription.owner_id == owner.id)
        return [_view(session, row) for row in session.execute(query.order_by(Subscription.id))]


def unsubscribe(store: Store, number: int, principal: Principal) -> None:
    """Ends a subscription; messages that were not sent yet are not sent.

    Raises:
        ForbiddenError: it is somebody else's, and the principal is no admin.
        UnknownNameError: there is none of this number.
    """
    with store.unit_of_work() as uow:
        _own_url(uow.session, number, principal, "remove")
        uow.execute(delete(Subscription).where(Subscription.id == number))
        uow.commit()


def send_test(store: Store, number: int, principal: Principal) -> Outcome:
    """Sends a message to a receiver here and now.

    Raises:
        ForbiddenError: it is somebody else's, and the principal is no admin.
        MissingPackageError: apprise is not installed.
        UnknownNameError: there is none of this number.
    """
    with store.reading() as session:
        url = _own_url(session, number, principal, "test")
    return deliver(url, "Versemill: a test", f"{principal.name} has asked for this message.")


def send_due(store: Store) -> Message | None:
    """Sends the message that has been due longest; for workers.

    Returns:
        The message; None if none is due.
    """
    give_up_lost_messages(store)
    message = take_message(store)
    if message is not None:
        try:
            outcome = deliver(message.url, message.title, message.body)
        except MissingPackageError as error:
            outcome = Outcome(kind="refused", why=str(error))
        if outcome.kind == "sent":
            message_sent(store, message)
        elif outcome.kind == "refused":
            message_refused(store, message, outcome.why)
        else:
            message_lost(store, message, outcome.why)
    return message


def record_waiting(store: Store) -> int:
    """Records messages about jobs that wait for what their owners can mend; for workers.

    Each job is told of once for each time that it is queued.

    Returns:
        Number of jobs.
    """
    with store.reading() as session:
        owners = {
            owner_id
            for owner_id, events in session.execute(
                select(Subscription.owner_id, Subscription.events)
            )
            if "waiting" in events
        }
        jobs = [job_id for owner_id in sorted(owners) for job_id in _untold(session, owner_id)]
    told = 0
    for job_id in jobs:
        why = waiting(store, job_id)
        if isinstance(why, PluginsMissing | OtherMachines | NoDevice):
            told += _tell(store, job_id, str(why))
    return told


def _untold(session: Session, owner_id: int) -> list[int]:
    query = (
        select(Job.id)
        .where(
            Job.owner_id == owner_id,
            Job.state == State.QUEUED,
            Job.held.is_(False),
            Job.queued_at <= db_now(-WAITED_SECONDS),
            ~_told(),
        )
        .order_by(Job.queued_at)
    )
    return list(session.scalars(query.limit(_LOOKED_AT)))


def _told() -> Any:
    return exists().where(
        Delivery.job_id == Job.id,
        Delivery.event == "waiting",
        Delivery.created_at >= Job.queued_at,
    )


def _tell(store: Store, job_id: int, why: str) -> bool:
    with store.unit_of_work() as uow:
        # Several workers look; the job's row lets one of them in at a time.
        lock = select(Job.id).where(Job.id == job_id, Job.state == State.QUEUED)
        if uow.session.execute(lock.with_for_update()).first() is None:
            return False
        if uow.scalar(select(Job.id).where(Job.id == job_id, ~_told())) is None:
            return False
        record_deliveries(uow, job_id, ("waiting",), "waits", why)
        uow.commit()
    return True


def _own_url(session: Session, number: int, principal: Principal, doing: str) -> str:
    query = select(Subscription.owner_id, Subscription.url).where(Subscription.id == number)
    found = session.execute(query).first()
    if found is None:
        known = [str(view) for view in session.scalars(select(Subscription.id))]
        raise UnknownNameError("subscription", str(number), known)
    require_owner(session, found.owner_id, principal, doing, f"subscription {number}")
    return str(found.url)


def _view(session: Session, row: Any) -> SubscriptionView:
    mine = Delivery.subscription_id == row.id
    numbers = select(Delivery.state, func.count().label("number"))
    rows = session.execute(numbers.where(mine).group_by(Delivery.state))
    counts = {each.state: each.number for each in rows}
    failed = select(Delivery.error).where(mine, Delivery.error.is_not(None))
    return SubscriptionView(
        id=row.id,
        receiver=shown_url(row.url),
        events=tuple(row.events),
        sent=counts.get("sent", 0),
        waiting=counts.get("recorded", 0) + counts.get("sending", 0),
        failed=counts.get("failed", 0),
        last_error=session.scalar(failed.order_by(Delivery.id.desc()).limit(1)),
        created_at=row.created_at,
    )
