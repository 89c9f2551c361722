"""Messages to people about their jobs: recorded with the event, and sent later by a worker.

A delivery is `recorded` in the transaction of what it tells. Whoever sends it makes it `sending`
first, so that it is not sent twice whatever happens then. Only one that the receiver has refused
is recorded again, for a later time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Delivery, Job, Subscription, User

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Select

    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork

TOLD = ("ended", "failed", "waiting", "preempted")
"""What somebody may be told of their jobs."""

MOST_TRIES = 5
FIRST_DELAY_SECONDS = 30.0
DELAY_FACTOR = 4.0
LOST_SECONDS = 300.0
"""After so long, whoever was sending a message is gone."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message that this process sends now.

    Attributes:
        url: of the receiver; secret.
        tries: how often it has been sent, this time included.
    """

    id: int
    url: str
    title: str
    body: str
    tries: int


def record_deliveries(
    uow: UnitOfWork, job_id: int, kinds: Collection[str], what: str, message: str
) -> None:
    """Records a message to each receiver of the owner's who wants to be told of one of `kinds`.

    Args:
        uow: the transaction of what is told.
        job_id: the job.
        kinds: some of `TOLD`.
        what: what has happened to the job, such as `failed`.
        message: more, in one line.
    """
    for row in uow.session.execute(_receivers(), {"job": job_id}).all():
        kind = next((kind for kind in kinds if kind in row.events), None)
        if kind is not None:
            label = f"job {job_id} ({row.name})"
            values = {
                "subscription_id": row.id,
                "job_id": job_id,
                "event": kind,
                "title": f"{label} {what}",
                "body": f"{label} of {row.owner}: {message}",
            }
            uow.execute(insert(Delivery).values(values))


def take_message(store: Store) -> Message | None:
    """The message that has been due longest, which nobody else sends from now on."""
    due = select(Delivery.id).where(Delivery.state == "recorded", Delivery.next_at <= db_now())
    with store.reading() as session:  # most looks end here
        found = session.scalar(due.order_by(Delivery.next_at).limit(1))
    if found is None:
        return None
    with store.unit_of_work() as uow:
        taken = (
            update(Delivery)
            .where(Delivery.id == found, Delivery.state == "recorded")
            .values(state="sending", tries=Delivery.tries + 1, next_at=db_now(LOST_SECONDS))
            .returning(Delivery.subscription_id, Delivery.title, Delivery.body, Delivery.tries)
        )
        row = uow.execute(taken).first()
        if row is None:
            return None  # another worker was faster; the next look finds the next
        url = uow.session.scalars(
            select(Subscription.url).where(Subscription.id == row.subscription_id)
        ).one()
        uow.commit()
    return Message(id=found, url=url, title=row.title, body=row.body, tries=row.tries)


def message_sent(store: Store, message: Message) -> None:
    """Records that the receiver has taken it."""
    _conclude(store, message, {"state": "sent", "error": None})


def message_refused(store: Store, message: Message, error: str) -> None:
    """Records that the receiver has refused it: it is sent again later, `MOST_TRIES` times at most.

    Args:
        store: where it is.
        message: what was sent.
        error: why, without secrets.
    """
    if message.tries >= MOST_TRIES:
        _conclude(store, message, {"state": "failed", "error": error})
        return
    delay = FIRST_DELAY_SECONDS * DELAY_FACTOR ** (message.tries - 1)
    _conclude(store, message, {"state": "recorded", "error": error, "next_at": db_now(delay)})


def message_lost(store: Store, message: Message, error: str) -> None:
    """Records that nobody can tell whether it has arrived: it is not sent again."""
    _conclude(store, message, {"state": "failed", "error": error})


def give_up_lost_messages(store: Store) -> int:
    """Gives up those whose sender has ended meanwhile; returns how many."""
    lost = (Delivery.state == "sending", Delivery.next_at <= db_now())
    with store.reading() as session:
        if session.scalar(select(Delivery.id).where(*lost).limit(1)) is None:
            return 0
    error = "the worker that sent it ended meanwhile: it is not known whether it arrived"
    with store.unit_of_work() as uow:
        given_up = update(Delivery).where(*lost).values(state="failed", error=error)
        count = uow.execute(given_up).rowcount
        uow.commit()
    return count


def _conclude(store: Store, message: Message, values: dict[str, Any]) -> None:
    with store.unit_of_work() as uow:
        this = update(Delivery).where(Delivery.id == message.id, Delivery.state == "sending")
        uow.execute(this.values(values))
        uow.commit()


@cache
def _receivers() -> Select[int, list[str], str, str]:
    """Building it costs more than running it."""
    columns = (Subscription.id, Subscription.events, Job.name, User.name.label("owner"))
    return (
        select(*columns)
        .join(Job, Job.owner_id == Subscription.owner_id)
        .join(User, User.id == Job.owner_id)
        .where(Job.id == bindparam("job"))
        .order_by(Subscription.id)
    )
