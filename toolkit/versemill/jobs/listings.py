"""What people read. Columns only, never whole objects: listings are what a command waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, select

from versemill.errors import UnknownNameError
from versemill.jobs.checkpoints import checkpoints
from versemill.jobs.columns import db_now
from versemill.jobs.states import Request, State
from versemill.jobs.tables import Attempt, Event, Job, LyricText, Metric, User, Worker
from versemill.jobs.views import (
    AttemptView,
    CheckpointView,
    CurvePoint,
    EventView,
    JobDetails,
    JobView,
    LyricView,
    OutputView,
    WorkerView,
)
from versemill.jobs.workers import LEASE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Row, Select
    from sqlalchemy.orm import Session

    from versemill.jobs.checkpoints import CheckpointRow
    from versemill.jobs.store import Store

_SHOWN = {Request.YIELD: "yielding", Request.PAUSE: "pausing", Request.CANCEL: "cancelling"}


def find(store: Store, key: str, *, owner: str | None = None) -> JobView:
    """The job people mean by `key`.

    Args:
        store: where the jobs are.
        key: an id, a name, or `@last` for the newest job.
        owner: for `@last`, the newest job of this user.

    Raises:
        UnknownNameError: no such job; the message names a few recent ones.
    """
    query = _views()
    if key == "@last":
        query = query.order_by(Job.id.desc()).limit(1)
        if owner is not None:
            query = query.where(User.name == owner)
    elif key.isascii() and key.isdigit():
        query = query.where(Job.id == min(int(key), 2**31 - 1))
    else:
        query = query.where(Job.name == key)
    with store.reading() as session:
        found = session.execute(query).first()
        if found is None:
            recent = session.scalars(select(Job.name).order_by(Job.id.desc()).limit(5)).all()
            raise UnknownNameError("job", key, recent, hint="`versemill jobs` lists them all")
    return _view(found)


def jobs(
    store: Store,
    *,
    limit: int | None = 50,
    states: Iterable[State] | None = None,
    owner: str | None = None,
) -> list[JobView]:
    """Jobs, newest first: at most `limit`, in any of `states`, of `owner`."""
    query = _views().order_by(Job.id.desc()).limit(limit)
    if states is not None:
        query = query.where(Job.state.in_(list(states)))
    if owner is not None:
        query = query.where(User.name == owner)
    with store.reading() as session:
        return [_view(row) for row in session.execute(query)]


def details(store: Store, job_id: int) -> JobDetails:
    """A job with its events, attempts and checkpoints; raises `UnknownNameError`."""
    kept = tuple(_checkpoint(row) for row in checkpoints(store, job_id))
    with store.reading() as session:
        job = job_view(session, job_id)
        more = session.execute(
            select(Job.config, Job.plugins, Job.content_hash, Job.inexact, Job.result).where(
                Job.id == job_id
            )
        ).one()
        return JobDetails(
            job=job,
            **more._mapping,
            events=_events(session, job_id),
            attempts=_attempts(session, job_id),
            checkpoints=kept,
        )


def curve(store: Store, job_id: int) -> list[CurvePoint]:
    """The figures of every report, by step."""
    query = (
        select(
            Metric.epoch,
            Metric.step,
            Metric.train_perplexity,
            Metric.valid_perplexity,
            Metric.characters_per_second,
            Metric.attempt,
            Metric.at,
        )
        .where(Metric.job_id == job_id)
        .order_by(Metric.step)
    )
    with store.reading() as session:
        return [CurvePoint(**row) for row in session.execute(query).mappings()]


def lyrics(store: Store, job_id: int, *, step: int | None = None) -> list[LyricView]:
    """The texts written at every report, or at the one of `step`, in the order written."""
    query = select(
        LyricText.step,
        LyricText.epoch,
        LyricText.prefix,
        LyricText.text,
        LyricText.seed,
        LyricText.decoder,
        LyricText.created_at,
    ).where(LyricText.job_id == job_id)
    if step is not None:
        query = query.where(LyricText.step == step)
    with store.reading() as session:
        rows = session.execute(query.order_by(LyricText.step, LyricText.id)).mappings()
        return [LyricView(**row) for row in rows]


def output(store: Store, job_id: int) -> list[OutputView]:
    """What each attempt's trainer wrote, first attempt first."""
    query = select(
        Attempt.number.label("attempt"), Attempt.worker_name.label("worker"), Attempt.output
    ).where(Attempt.job_id == job_id)
    with store.reading() as session:
        rows = session.execute(query.order_by(Attempt.number)).mappings()
        return [OutputView(**row) for row in rows]


def live_workers(store: Store) -> list[WorkerView]:
    """Workers seen within the last lease, by name."""
    busy = (
        select(func.count())
        .where(Job.state == State.RUNNING, Job.worker_id == Worker.id)
        .scalar_subquery()
    )
    query = select(
        Worker.id,
        Worker.name,
        Worker.host,
        Worker.pid,
        Worker.slots,
        busy.label("busy"),
        Worker.version,
        Worker.started_at,
        Worker.seen_at,
    ).where(Worker.seen_at >= db_now(-LEASE_SECONDS))
    with store.reading() as session:
        rows = session.execute(query.order_by(Worker.name, Worker.started_at)).mappings()
        return [WorkerView(**row) for row in rows]


def job_view(session: Session, job_id: int) -> JobView:
    """One job by id, within a transaction; raises `UnknownNameError`."""
    found = session.execute(_views().where(Job.id == job_id)).first()
    if found is None:
        raise UnknownNameError("job", str(job_id), (), hint="`versemill jobs` lists them all")
    return _view(found)


def _views() -> Select[*tuple[Any, ...]]:
    current = and_(Attempt.job_id == Job.id, Attempt.number == Job.attempt)
    return (
        select(
            Job.id,
            Job.name,
            User.name.label("owner"),
            Job.state,
            Job.request,
            Job.recipe,
            Job.corpus,
            Job.cell,
            Job.attempt,
            Job.step,
            Job.epoch,
            Job.epochs,
            Job.train_perplexity,
            Job.valid_perplexity,
            Job.characters_per_second,
            Job.seconds_left,
            Job.error,
            Job.created_at,
            Job.finished_at,
            Attempt.worker_name.label("worker"),
            (Job.lease_until < db_now()).label("expired"),
        )
        .join(User, User.id == Job.owner_id)
        .outerjoin(Attempt, and_(current, Job.state == State.RUNNING))
    )


def _view(row: Row[*tuple[Any, ...]]) -> JobView:
    columns = dict(row._mapping)
    expired = columns.pop("expired")
    request: Request = columns["request"]
    shown = "interrupted" if expired else _SHOWN.get(request, columns["state"].value)
    return JobView(**columns, state_shown=shown)


def _events(session: Session, job_id: int) -> tuple[EventView, ...]:
    query = select(Event.at, Event.actor, Event.from_state, Event.to_state, Event.message).where(
        Event.job_id == job_id
    )
    rows = session.execute(query.order_by(Event.id)).mappings()
    return tuple(EventView(**row) for row in rows)


def _attempts(session: Session, job_id: int) -> tuple[AttemptView, ...]:
    query = select(
        Attempt.number,
        Attempt.worker_name.label("worker"),
        Attempt.started_at,
        Attempt.ended_at,
        Attempt.outcome,
        Attempt.failure,
        Attempt.exit,
        Attempt.first_step,
        Attempt.last_step,
    ).where(Attempt.job_id == job_id)
    rows = session.execute(query.order_by(Attempt.number)).mappings()
    return tuple(AttemptView(**row) for row in rows)


def _checkpoint(row: CheckpointRow) -> CheckpointView:
    reasons = {"last": row.is_last, "best": row.is_best, "final": row.is_final}
    return CheckpointView(
        id=row.id,
        step=row.step,
        epoch=row.epoch,
        kinds=tuple(reason for reason, holds in reasons.items() if holds),
        size=row.size,
        created_at=row.created_at,
    )
