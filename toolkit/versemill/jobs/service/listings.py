"""What people read. Columns only, never whole objects: listings are what a command waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, text

from versemill.errors import UnknownNameError
from versemill.jobs.execution.checkpoints import checkpoints
from versemill.jobs.service.why_waiting import outlook
from versemill.jobs.storage import job_listing
from versemill.jobs.storage.plain_sql import SessionSQL
from versemill.jobs.storage.tables import Attempt, Event, Job, LyricText, Metric, StoredRequirements
from versemill.jobs.views import (
    ArrayView,
    AttemptView,
    CheckpointView,
    CurvePoint,
    EventView,
    JobDetails,
    JobView,
    LyricView,
    OutputView,
)
from versemill.jobs.waiting.queue_listing import shown, with_outlook
from versemill.normalisation import prepared_name, spellings
from versemill.plugins.record import records_from_json
from versemill.plugins.requirements import from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

    from versemill.jobs.execution.checkpoints import CheckpointRow
    from versemill.jobs.service.principal import Principal
    from versemill.jobs.states import State
    from versemill.jobs.storage.unit_of_work import Store


_LAST_LINES = 5
_POINT = (
    Metric.epoch,
    Metric.step,
    Metric.train_perplexity,
    Metric.valid_perplexity,
    Metric.characters_per_second,
    Metric.attempt,
    Metric.at,
)


def find(store: Store, key: str, principal: Principal | None = None) -> JobView:
    """The job people mean by `key`.

    Args:
        store: where the jobs are.
        key: an id, a name, or `@last` for the newest job.
        principal: who asks; `@last` is then the newest of their own jobs.

    Raises:
        UnknownNameError: no such job; the message names a few recent ones.
        ConfigError: `key` is no text.
    """
    prepared_name(key, "job")
    names = spellings(key)
    wanted: dict[str, Any] = {"names": names}
    if key == "@last":
        owners = None if principal is None else spellings(principal.owner)
        wanted = {"owners": owners, "limit": 1}
    elif key.isascii() and key.isdigit():
        wanted = {"ids": [min(int(key), 2**31 - 1)]}
    with store.reading() as session:
        found = _found(session, **wanted)
        if not found:
            recent = session.scalars(select(Job.name).order_by(Job.id.desc()).limit(5)).all()
            raise UnknownNameError("job", key, recent)
    likeliest = {name: place for place, name in enumerate(names)}
    return min(found, key=lambda job: likeliest.get(job.name, 0))


def jobs(
    store: Store,
    *,
    limit: int | None = 50,
    states: Iterable[State] | None = None,
    owner: str | None = None,
    array: str | None = None,
    best_first: bool = False,
) -> list[JobView]:
    """Jobs, newest first: at most `limit`, in any of `states`, of `owner`, of `array`.

    With `best_first`, those come first whose last validation perplexity is lowest.
    """
    wanted = job_listing.conditions(owner=owner, array=array)
    with store.reading() as session:
        found = _found(session, limit=limit, states=states, best_first=best_first, **wanted)
        return with_outlook(SessionSQL(session), found)


def folded(
    store: Store,
    *,
    limit: int | None = 50,
    states: Iterable[State] | None = None,
    owner: str | None = None,
) -> list[JobView | ArrayView]:
    """As `jobs`, with an array for all its members: counted, in any of `states`."""
    wanted = job_listing.conditions(owner=owner)
    with store.reading() as session:
        sql = SessionSQL(session)
        found = _found(session, limit=limit, states=states, folded=True, **wanted)
        return job_listing.with_arrays(sql, with_outlook(sql, found), states)


def details(store: Store, job_id: int) -> JobDetails:
    """A job with its events, attempts and checkpoints; raises `UnknownNameError`."""
    kept = tuple(_checkpoint(row) for row in checkpoints(store, job_id))
    how = outlook(store, job_id)
    with store.reading() as session:
        job = job_view(session, job_id)
        columns = (Job.config, Job.plugins, Job.content_hash, Job.inexact, Job.machine, Job.result)
        more = session.execute(
            select(*columns, Job.accepted_by, StoredRequirements.requirements)
            .outerjoin(StoredRequirements, StoredRequirements.digest == Job.requirements)
            .where(Job.id == job_id)
        ).one()
        return JobDetails(
            job=job if how is None else shown(job, how),
            waiting=None if how is None else how.reason,
            config=more.config,
            plugins=records_from_json(more.plugins),
            content_hash=more.content_hash,
            inexact=more.inexact,
            machine=more.machine,
            requirements=from_json(more.requirements or ()),
            accepted_by=more.accepted_by,
            result=more.result,
            events=_events(session, job_id),
            attempts=_attempts(session, job_id),
            checkpoints=kept,
        )


def curve(store: Store, job_id: int) -> list[CurvePoint]:
    """The figures of every report, by step."""
    query = select(*_POINT).where(Metric.job_id == job_id).order_by(Metric.step)
    with store.reading() as session:
        return [CurvePoint(**row) for row in session.execute(query).mappings()]


def thinned_curve(store: Store, job_id: int, most: int) -> tuple[list[CurvePoint], int]:
    """At most `most` points of the curve, and how many it has.

    They are evenly spread, the first and the last among them. The database chooses them: fetching
    each of a hundred thousand to show thirty would take longer than all the rest of a command.
    """
    mine = Metric.job_id == job_id
    place = (func.row_number().over(order_by=Metric.step) - 1).label("place")
    numbered = select(*_POINT, place).where(mine).subquery()
    columns = [numbered.c[column.key] for column in _POINT]
    with store.reading() as session:
        count = session.scalar(select(func.count()).where(mine)) or 0
        chosen = select(*columns).where(numbered.c.place.in_(spread(count, most)))
        rows = session.execute(chosen.order_by(numbered.c.step)).mappings()
        return [CurvePoint(**row) for row in rows], count


def spread(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, evenly spread, both ends among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


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


def job_view(session: Session, job_id: int) -> JobView:
    """One job by id, within a transaction; raises `UnknownNameError`."""
    found = _found(session, ids=[job_id])
    if not found:
        raise UnknownNameError("job", str(job_id), ())
    return found[0]


def array_view(session: Session, name: str) -> list[JobView]:
    """The members of an array, newest first, within a transaction."""
    return _found(session, arrays=[name])


def jobs_by_id(session: Session, ids: Sequence[int]) -> list[JobView]:
    """Those of the jobs that there are, newest first, within a transaction."""
    return _found(session, ids=ids) if ids else []


def _found(session: Session, **wanted: Any) -> list[JobView]:
    sql, values = job_listing.query(session.get_bind().dialect.name, **wanted)
    return [job_listing.view(dict(row._mapping)) for row in session.execute(text(sql), values)]


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
        Attempt.provenance,
        case((Attempt.failure.is_not(None), Attempt.output), else_="").label("output"),
    ).where(Attempt.job_id == job_id)
    rows = session.execute(query.order_by(Attempt.number)).mappings()
    return tuple(_attempt(dict(row)) for row in rows)


def _attempt(row: dict[str, Any]) -> AttemptView:
    lines = [line for line in row.pop("output").splitlines() if line.strip()]
    return AttemptView(**row, last_words=tuple(lines[-_LAST_LINES:]))


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
