"""Arrays: one submission of jobs that differ in some settings, as ordinary jobs under one name."""

from __future__ import annotations

import itertools
import math
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import select, update

from versemill.config.recipes import SECTIONS, apply_overrides
from versemill.errors import ConfigError
from versemill.jobs.devices import ANY_DEVICE
from versemill.jobs.service.corpora import keep_text, store_text_early
from versemill.jobs.service.dependencies import awaited, still_awaited
from versemill.jobs.service.listings import array_view
from versemill.jobs.service.queueing import check_may_queue
from versemill.jobs.service.rights import owner_account
from versemill.jobs.service.submission import (
    NewJob,
    SharedWork,
    Submission,
    SubmitOptions,
    checked_name,
    commit_new,
    insert_job,
    name_automatically,
    prepare,
    with_options,
)
from versemill.jobs.service.waking import no_wake
from versemill.jobs.storage.tables import Job
from versemill.normalisation import spellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from versemill.jobs.notices import Notice
    from versemill.jobs.service.principal import Principal
    from versemill.jobs.service.texts import TextSources
    from versemill.jobs.service.waking import Wake
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.jobs.views import JobView

MOST_JOBS = 1000
_VARIED = ("corpus", "cell", "sampler", "recipe", "tokenizer")


@dataclass(frozen=True, kw_only=True)
class Varied:
    """A setting that differs within an array.

    Attributes:
        key: dotted name, such as `training.learning_rate`.
        values: what it is in turn.
    """

    key: str
    values: Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class QueuedArray:
    """An array that is in the queue, durably.

    Attributes:
        name: of the array.
        jobs: its members, in the order of their numbers.
        notices: what the user should know beside it.
    """

    name: str
    jobs: tuple[JobView, ...]
    notices: tuple[Notice, ...] = ()


def submit_array(
    store: Store,
    table: Mapping[str, Any],
    varied: Sequence[Varied],
    principal: Principal,
    sources: TextSources,
    *,
    based_on: int | None = None,
    wake: Wake = no_wake,
    **options: Unpack[SubmitOptions],
) -> QueuedArray:
    """Submits a job for every combination of values: all of them or none.

    Args:
        store: where to.
        table: the job as a job file has it. Its name is the array's: members are called by it and
            their number.
        varied: what differs; the last one varies fastest.
        principal: who submits, and owns the jobs.
        sources: what their text may be read from; it is read once.
        based_on: a job whose settings and text they have, but for what `table` and `varied` say.
        wake: called after the commit, to tell workers.
        options: of every member.

    Raises:
        ConfigError: there are no combinations or too many, or a name or value is not allowed.
        VersemillError: as for `submission.submit`; nothing was stored.
    """
    combinations = list(_combinations(varied))
    shared, needs = SharedWork(), options.get("needs", ANY_DEVICE)
    submissions = []
    for values in combinations:
        changed = apply_overrides(table, values)
        submission = prepare(store, changed, sources, based_on=based_on, needs=needs, shared=shared)
        submissions.append(with_options(submission, options))
    return _enqueue(store, submissions, combinations, principal, wake)


def _combinations(varied: Sequence[Varied]) -> Iterator[dict[str, Any]]:
    """The values of each member by dotted name.

    Raises:
        ConfigError: there are none or too many, or a setting cannot differ so.
    """
    keys = [each.key for each in varied]
    for each in varied:
        section, dot, _ = each.key.partition(".")
        if not dot and each.key not in _VARIED:
            known = ", ".join(_VARIED)
            raise ConfigError("array", each.key, f"SECTION.KEY with a section, or one of {known}")
        if dot and section not in SECTIONS:
            raise ConfigError("array", each.key, f"a section among {', '.join(SECTIONS)}")
        if keys.count(each.key) > 1:
            raise ConfigError("array", each.key, "each setting once, with all its values")
    count = math.prod(len(each.values) for each in varied)
    if not 0 < count <= MOST_JOBS:
        raise ConfigError("array", f"{count:,} jobs", f"1 to {MOST_JOBS:,} jobs in an array")
    for each in varied:
        if len({repr(value) for value in each.values}) < len(each.values):
            raise ConfigError(f"array {each.key}", list(each.values), "each value once")
    chosen = itertools.product(*(each.values for each in varied))
    return (dict(zip(keys, values, strict=True)) for values in chosen)


def _enqueue(
    store: Store,
    submissions: Sequence[Submission],
    combinations: Sequence[Mapping[str, Any]],
    principal: Principal,
    wake: Wake,
) -> QueuedArray:
    """Stores the members in one transaction."""
    first = submissions[0]
    name = checked_name(first.name)
    if name is not None:
        checked_name(f"{name}-{len(submissions)}")
    after = awaited(store, first.timing.after, principal)
    hashes = {id(each.text): store_text_early(store, each.text) for each in submissions}
    with store.unit_of_work() as uow:
        for text in {id(each.text): each.text for each in submissions}.values():
            keep_text(uow, text, hashes[id(text)])
        unmet = still_awaited(uow, after)
        owner = owner_account(uow, principal)
        check_may_queue(uow, owner, principal, first.priority, jobs=len(submissions))
        members = [
            NewJob(
                submission=each,
                name=None,
                owner_id=owner.id,
                content_hash=hashes[id(each.text)],
                after=unmet,
                array_values=dict(values),
            )
            for each, values in zip(submissions, combinations, strict=True)
        ]
        name = _insert(uow, members, name, principal)
        views = tuple(reversed(array_view(uow.session, name)))
        commit_new(uow, f"array {name}", views[0].name)
    trouble = wake()
    notices = dict.fromkeys(notice for each in submissions for notice in each.notices)
    return QueuedArray(
        name=name, jobs=views, notices=(*notices, *(() if trouble is None else (trouble,)))
    )


def _insert(
    uow: UnitOfWork, members: Sequence[NewJob], name: str | None, principal: Principal
) -> str:
    """Stores the members; returns the array's name."""
    ids = []
    if name is None:  # by the first member's id, which is known once it is stored
        ids.append(insert_job(uow, members[0], principal))
        name = _free_name(uow, ids[0], members[0])
        first = update(Job).where(Job.id == ids[0])
        uow.execute(first.values(name=f"{name}-1", array_name=name))
    elif _taken(uow, name):
        raise ConfigError("name", name, "a name that no other job or array has")
    for number, member in enumerate(members[len(ids) :], len(ids) + 1):
        named = replace(member, name=f"{name}-{number}", array=name)
        ids.append(insert_job(uow, named, principal))
    return name


def _free_name(uow: UnitOfWork, job_id: int, member: NewJob) -> str:
    name_automatically(uow, job_id, member.submission.config)
    name = uow.session.scalars(select(Job.name).where(Job.id == job_id)).one()
    taken = _taken(uow, name, besides=job_id) or _taken(uow, f"{name}-1")
    return f"{name}-{uuid.uuid4().hex[:8]}" if taken else name


def _taken(uow: UnitOfWork, name: str, *, besides: int = 0) -> bool:
    others = spellings(name)
    query = select(Job.id).where(
        Job.name.in_(others) | Job.array_name.in_(others), Job.id != besides
    )
    return uow.session.scalars(query.limit(1)).first() is not None
