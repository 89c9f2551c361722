"""How a job is submitted: from a job table to a checked job, and from there into the queue."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import SQLAlchemyError

from versemill.errors import ConfigError, DatabaseError
from versemill.jobs.devices import ANY_DEVICE, CPU
from versemill.jobs.execution.memory_learning import corrected
from versemill.jobs.execution.transitions import note
from versemill.jobs.notices import UnknownCharacters
from versemill.jobs.service.base_settings import settings_of
from versemill.jobs.service.corpora import keep_text, store_text_early, text_by_hash
from versemill.jobs.service.listings import job_view
from versemill.jobs.service.queueing import check_may_queue
from versemill.jobs.service.rights import owner_account
from versemill.jobs.service.texts import FROM_STDIN, FoundText, find_text
from versemill.jobs.service.waking import Queued, no_wake
from versemill.jobs.states import Priority, State
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Job
from versemill.normalisation import prepared, spellings
from versemill.plugins.record import records_to_json
from versemill.plugins.requirements import at_least

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Update

    from versemill.config.job import JobConfig
    from versemill.jobs.devices import DeviceNeeds
    from versemill.jobs.notices import Notice
    from versemill.jobs.service.principal import Principal
    from versemill.jobs.service.texts import TextSources
    from versemill.jobs.service.waking import Wake
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.jobs.views import JobView
    from versemill.plugins.record import PluginRecord
    from versemill.text.corpus import Text

_INVISIBLE = r"\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_NAME = re.compile(rf"(?![@-])(?!\d+$)[^{_INVISIBLE}/\\]{{1,100}}")
_NAME_RULE = (
    "1 to 100 characters without spaces, slashes or invisible ones, not only digits, "
    "not beginning with '@' or '-'"
)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job that is ready for the queue.

    Attributes:
        config: what to train, already resolved.
        text: the corpus's text, stored once per content.
        plugins: records of all plugins that it uses (`Selection.records`).
        name: unique; None to have one made up from corpus, cell and id.
        needs: what it needs of a device, with its memory as estimated.
        shape: digest of what decides how much memory it takes (`gpu_memory.shape`).
        priority: how urgent it is.
        notices: what there is to tell of how it was put together.
    """

    config: JobConfig
    text: Text
    plugins: Sequence[PluginRecord]
    name: str | None = None
    needs: DeviceNeeds = ANY_DEVICE
    shape: str | None = None
    priority: Priority = Priority.NORMAL
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Named:
    name: str | None


def submit(
    store: Store,
    table: Mapping[str, Any],
    principal: Principal,
    sources: TextSources,
    *,
    based_on: int | None = None,
    needs: DeviceNeeds = ANY_DEVICE,
    priority: Priority = Priority.NORMAL,
    wake: Wake = no_wake,
) -> Queued:
    """From a job table to a stored job: `prepare`, then `enqueue`; see both."""
    submission = prepare(store, table, sources, based_on=based_on, needs=needs)
    return enqueue(store, replace(submission, priority=priority), principal, wake=wake)


def prepare(
    store: Store,
    table: Mapping[str, Any],
    sources: TextSources,
    *,
    based_on: int | None = None,
    needs: DeviceNeeds = ANY_DEVICE,
) -> Submission:
    """Puts a job together and checks whatever can be checked before it waits in a queue.

    Args:
        store: where named corpora are.
        table: the job as a job file has it, overrides already applied.
        sources: what its text may be read from.
        based_on: a job whose settings and text this one has, but for what `table` says.
        needs: what it asks of a device; how much memory it takes is estimated here.

    Raises:
        UnknownNameError: there is no job `based_on`.
        VersemillError: anything that would keep the job from being trained.
    """
    from versemill.config.prefixes import chosen_prefixes
    from versemill.config.validation import validated
    from versemill.plugins.registry import Registry
    from versemill.plugins.resolution import resolve
    from versemill.plugins.selection import Selection
    from versemill.text.reading import STANDARD_INPUT
    from versemill.text.unknown_characters import unknown_characters
    from versemill.training.feasibility import checked
    from versemill.training.gpu_memory import gpu_bytes, shape, stepped

    registry = Registry.discover()
    text = None
    if based_on is not None:
        base = settings_of(store, based_on)
        text = None if "corpus" in table else text_by_hash(store, base.content_hash)
        table = base.with_changes(table)
    name = validated(_Named, {"name": table.get("name")}, where="").name
    config = resolve(table, registry)
    place = str(table.get("corpus", config.corpus))
    found = FoundText(text=text) if text else None
    found = found or find_text(store, config, registry, sources, place=place)
    if place == FROM_STDIN:
        config = replace(config, corpus=STANDARD_INPUT)
    selection = Selection(config, registry)
    parts, estimate, vocabulary = checked(found.text, selection)
    characters = len(parts.training)
    if needs.kind != CPU:
        needs = replace(needs, memory=stepped(gpu_bytes(estimate, characters)))
    if "prefixes" not in table:
        config = replace(config, prefixes=chosen_prefixes(config, found.text, parts))
    known = set(parts.training).__contains__
    unknown = unknown_characters("".join((*config.prefixes, *config.generation.stop)), known)
    unknown_notices = (UnknownCharacters(characters=unknown),) if unknown else ()
    return Submission(
        config=config,
        text=found.text,
        plugins=selection.records(),
        name=name,
        needs=needs,
        shape=shape(selection, vocabulary, characters),
        notices=(*found.notices, *unknown_notices),
    )


def enqueue(
    store: Store, submission: Submission, principal: Principal, *, wake: Wake = no_wake
) -> Queued:
    """Queues a job; once this returns, it is durable.

    Args:
        store: where to.
        submission: the job.
        principal: who submits, and owns the job.
        wake: called after the commit, to tell workers.

    Raises:
        ConfigError: the name is malformed or taken.
        ForbiddenError: the owner is disabled, or the principal may not submit for them.
        LimitError: the owner has as many jobs as their limit allows.
    """
    config, name, priority = submission.config, submission.name, submission.priority
    if name is not None and not _NAME.fullmatch(name):
        raise ConfigError("name", name, _NAME_RULE)
    name = None if name is None else prepared(name, "name")
    content_hash = store_text_early(store, submission.text)
    with store.unit_of_work() as uow:
        values: dict[str, Any] = {
            "name": name or str(uuid.uuid4()),
            "state": State.QUEUED,
            "config": config.to_json(),
            "plugins": records_to_json(submission.plugins),
            "requirements": keep_requirements(
                uow,
                at_least(submission.plugins),
                corrected(uow.session, submission.needs, submission.shape),
            ),
            "shape": submission.shape,
            "recipe": config.recipe,
            "corpus": config.corpus,
            "cell": config.cell,
            "content_hash": keep_text(uow, submission.text, content_hash),
            "epochs": config.training.epochs,
        }
        # After the text: both lock, and always in this order.
        owner = owner_account(uow, principal)
        check_may_queue(uow, owner, principal, priority)
        values |= {"owner_id": owner.id, "priority": priority}
        job_id = uow.insert_if_absent(Job, values, key="name", returning="id")
        if job_id is None or _taken_otherwise(uow, job_id, name):
            raise ConfigError("name", str(name), "a name that no other job has")
        if name is None:
            _name_automatically(uow, job_id, config)
        note(uow, job_id, actor=principal.actor, message="submitted", end=State.QUEUED)
        view = job_view(uow.session, job_id)
        _commit_new_job(uow, view)
    return Queued.after(wake, view, submission.notices)


def _taken_otherwise(uow: UnitOfWork, job_id: int, name: str | None) -> bool:
    """Whether another job has this name in another spelling, as older versions stored it."""
    others = [] if name is None else [each for each in spellings(name) if each != name]
    if not others:
        return False
    query = select(Job.id).where(Job.name.in_(others), Job.id != job_id)
    return uow.session.scalars(query.limit(1)).first() is not None


def _commit_new_job(uow: UnitOfWork, job: JobView) -> None:
    """Commits a new job. Where nobody can tell whether it was kept, the error says so."""
    try:
        uow.commit()
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"the database went away at the very moment job {job.name} was to be queued: nobody "
            "can tell whether it is there",
            reason="commit-unknown",
            name=job.name,
        ) from error


def _name_automatically(uow: UnitOfWork, job_id: int, config: JobConfig) -> None:
    from versemill.text.reading import STANDARD_INPUT

    stem = re.split(r"[/\\]", config.corpus.rstrip("/\\"))[-1].split(".")[0]
    stem = "stdin" if config.corpus == STANDARD_INPUT else stem
    base = re.sub(r"[^\w-]+", "-", stem).strip("-_")[:40] or "text"
    name = f"{base}-{config.cell}-{job_id}"
    for wanted in (name, f"{name}-{uuid.uuid4().hex[:8]}"):
        if uow.execute(_naming(), {"job": job_id, "wanted": wanted}).rowcount:
            break


@cache
def _naming() -> Update:
    """Names a job unless another has the name. Building it costs more than running it."""
    jobs, others = Job.__table__, Job.__table__.alias()
    taken = select(others.c.id).where(others.c.name == bindparam("wanted")).exists()
    free = update(jobs).where(jobs.c.id == bindparam("job"), ~taken)
    return free.values(name=bindparam("wanted"))
