"""How a job is submitted: from a job table to a checked job, and from there into the queue."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import SQLAlchemyError

from versemill.errors import ConfigError, DatabaseError
from versemill.jobs.devices import ANY_DEVICE, CPU
from versemill.jobs.execution.memory_learning import corrected
from versemill.jobs.execution.transitions import note
from versemill.jobs.notices import UnknownCharacters
from versemill.jobs.service.base_settings import settings_of
from versemill.jobs.service.corpora import keep_text, store_text_early, text_by_hash
from versemill.jobs.service.dependencies import awaited, keep_dependencies, still_awaited
from versemill.jobs.service.listings import job_view
from versemill.jobs.service.queueing import check_may_queue
from versemill.jobs.service.rights import owner_account
from versemill.jobs.service.texts import FROM_STDIN, FoundText, find_text
from versemill.jobs.service.timing import AT_ONCE, Timing
from versemill.jobs.service.waking import Queued, no_wake
from versemill.jobs.states import Priority, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import keep_requirements
from versemill.jobs.storage.tables import Job
from versemill.normalisation import prepared, spellings
from versemill.phrases import exact_duration, listed
from versemill.plugins.record import records_to_json
from versemill.plugins.requirements import at_least

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Update

    from versemill.config.job import JobConfig
    from versemill.jobs.devices import DeviceNeeds
    from versemill.jobs.notices import Notice
    from versemill.jobs.service.principal import Principal
    from versemill.jobs.service.texts import TextSources
    from versemill.jobs.service.timing import Condition
    from versemill.jobs.service.waking import Wake
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.selection import Selection
    from versemill.text.corpus import Text
    from versemill.text.splitting import Parts
    from versemill.training.feasibility import MemoryEstimate

_INVISIBLE = r"\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_NAME = re.compile(rf"(?![@-])(?!\d+$)[^{_INVISIBLE}/\\]{{1,100}}")
_STORED_TEXT = re.compile(r"sha256:([0-9a-f]{64})")
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
        timing: when it may begin, and how long it may run.
        notices: what there is to tell of how it was put together.
    """

    config: JobConfig
    text: Text
    plugins: Sequence[PluginRecord]
    name: str | None = None
    needs: DeviceNeeds = ANY_DEVICE
    shape: str | None = None
    priority: Priority = Priority.NORMAL
    timing: Timing = AT_ONCE
    notices: tuple[Notice, ...] = ()


class SubmitOptions(TypedDict, total=False):
    """What no job table says; see `Submission`."""

    needs: DeviceNeeds
    priority: Priority
    timing: Timing


@dataclass(frozen=True, kw_only=True)
class _Named:
    name: str | None


class SharedWork:
    """What is found once for all jobs that are submitted together: plugins, texts, their parts."""

    def __init__(self) -> None:
        from versemill.plugins.registry import Registry

        self.registry = Registry.discover()
        self._texts: dict[str, FoundText] = {}
        self._parts: dict[tuple[int, str], Parts] = {}

    def text(self, source: object, find: Callable[[], FoundText]) -> FoundText:
        """The text of a source (JSON values); `find` finds it the first time."""
        key = json.dumps(source, sort_keys=True)
        if key not in self._texts:
            self._texts[key] = find()
        return self._texts[key]

    def checked(self, text: Text, selection: Selection) -> tuple[Parts, MemoryEstimate, int]:
        """As `feasibility.checked`, of a text that `text` has returned."""
        from versemill.training.feasibility import checked

        key = (id(text), repr(selection.config.text))
        found = checked(text, selection, parts=self._parts.get(key))
        self._parts[key] = found[0]
        return found


def submit(
    store: Store,
    table: Mapping[str, Any],
    principal: Principal,
    sources: TextSources,
    *,
    based_on: int | None = None,
    wake: Wake = no_wake,
    **options: Unpack[SubmitOptions],
) -> Queued:
    """From a job table to a stored job: `prepare`, then `enqueue`; see both."""
    submission = prepare(
        store, table, sources, based_on=based_on, needs=options.get("needs", ANY_DEVICE)
    )
    return enqueue(store, with_options(submission, options), principal, wake=wake)


def with_options(submission: Submission, options: SubmitOptions) -> Submission:
    """A prepared job with what no job table says; `prepare` has its needs already."""
    return replace(
        submission,
        priority=options.get("priority", submission.priority),
        timing=options.get("timing", submission.timing),
    )


def stored_text(table: Mapping[str, Any]) -> str | None:
    """The content hash of the stored text that a job table names; None if it names none.

    Raises:
        ConfigError: it is no content hash.
    """
    value = table.get("text")
    if value is None:
        return None
    found = _STORED_TEXT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigError("text", value, "sha256: and the 64 digits of a stored text")
    return found[1]


def prepare(
    store: Store,
    table: Mapping[str, Any],
    sources: TextSources,
    *,
    based_on: int | None = None,
    needs: DeviceNeeds = ANY_DEVICE,
    shared: SharedWork | None = None,
) -> Submission:
    """Puts a job together and checks whatever can be checked before it waits in a queue.

    Args:
        store: where named corpora are.
        table: the job as a job file has it, overrides already applied.
        sources: what its text may be read from.
        based_on: a job whose settings and text this one has, but for what `table` says.
        needs: what it asks of a device; how much memory it takes is estimated here.
        shared: what was found for other jobs that are submitted together with it.

    Raises:
        UnknownNameError: there is no job `based_on`.
        VersemillError: anything that would keep the job from being trained.
    """
    from versemill.config.prefixes import chosen_prefixes
    from versemill.config.validation import validated
    from versemill.plugins.resolution import resolve
    from versemill.plugins.selection import Selection
    from versemill.text.reading import STANDARD_INPUT
    from versemill.text.unknown_characters import unknown_characters
    from versemill.training.gpu_memory import gpu_bytes, shape, stepped

    shared = shared or SharedWork()
    registry = shared.registry
    stored = None
    if based_on is not None:
        base = settings_of(store, based_on)
        stored = None if "corpus" in table else base.content_hash
        table = base.with_changes(table)
    stored = stored_text(table) or stored
    name = validated(_Named, {"name": table.get("name")}, where="").name
    config = resolve(table, registry)
    place = str(table.get("corpus", config.corpus))
    if stored is not None:
        found = shared.text(stored, lambda: FoundText(text=text_by_hash(store, stored)))
    else:
        found = shared.text(
            [place, asdict(config.text), config.corpus_options],
            lambda: find_text(store, config, registry, sources, place=place),
        )
    if place == FROM_STDIN:
        config = replace(config, corpus=STANDARD_INPUT)
    selection = Selection(config, registry)
    parts, estimate, vocabulary = shared.checked(found.text, selection)
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
        UnknownNameError: it is to begin after a job that is not there.
        JobStateError: it is to begin after the success of a job that has failed.
    """
    name = checked_name(submission.name)
    after = awaited(store, submission.timing.after, principal)
    content_hash = store_text_early(store, submission.text)
    with store.unit_of_work() as uow:
        # All three lock, and always in this order.
        keep_text(uow, submission.text, content_hash)
        unmet = still_awaited(uow, after)
        owner = owner_account(uow, principal)
        check_may_queue(uow, owner, principal, submission.priority)
        new = NewJob(
            submission=submission,
            name=name,
            owner_id=owner.id,
            content_hash=content_hash,
            after=unmet,
        )
        job_id = insert_job(uow, new, principal)
        if name is None:
            name_automatically(uow, job_id, submission.config)
        view = job_view(uow.session, job_id)
        commit_new(uow, f"job {view.name}", view.name)
    return Queued.after(wake, view, submission.notices)


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job that is about to be stored.

    Attributes:
        name: as checked; None to have one made up.
        content_hash: of its text, which is stored.
        after: what it waits for.
        array: the array that it belongs to, if to one.
        array_values: the settings in which it differs from others of its array.
    """

    submission: Submission
    name: str | None
    owner_id: int
    content_hash: str
    after: Mapping[int, Condition]
    array: str | None = None
    array_values: Mapping[str, Any] | None = None


def checked_name(name: str | None) -> str | None:
    """The name of a new job or array as it is stored; raises `ConfigError` if it is malformed."""
    if name is None:
        return None
    if not _NAME.fullmatch(name):
        raise ConfigError("name", name, _NAME_RULE)
    return prepared(name, "name")


def insert_job(uow: UnitOfWork, new: NewJob, principal: Principal) -> int:
    """Stores one job, and returns its id; without a name it has a provisional one.

    Raises:
        ConfigError: the name is taken.
    """
    submission, timing = new.submission, new.submission.timing
    config = submission.config
    values: dict[str, Any] = {
        "name": new.name or str(uuid.uuid4()),
        "owner_id": new.owner_id,
        "priority": submission.priority,
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
        "content_hash": new.content_hash,
        "epochs": config.training.epochs,
        "held": bool(new.after),
        "array_name": new.array,
        "array_values": new.array_values,
        "time_limit": timing.time_limit,
    }
    job_id = uow.insert_if_absent(Job, values, key="name", returning="id")
    if job_id is None or _taken_otherwise(uow, job_id, new.name):
        raise ConfigError("name", str(new.name), "a name that no other job has")
    if timing.begin_in is not None:
        this = update(Job).where(Job.id == job_id)
        uow.execute(this.values(begin_at=db_now(timing.begin_in)))
        uow.execute(this.values(queued_at=Job.begin_at, available_at=Job.begin_at))
    keep_dependencies(uow, job_id, new.after)
    note(uow, job_id, actor=principal.actor, message=_submitted(new), end=State.QUEUED)
    return int(job_id)


def _submitted(new: NewJob) -> str:
    """What the event says."""
    limit = new.submission.timing.time_limit
    said = ["submitted" if new.array is None else f"submitted in array {new.array}"]
    if new.after:
        awaited = [f"{job_id} ({how})" for job_id, how in new.after.items()]
        said.append(f"to begin after job {listed(awaited)}")
    said += [] if limit is None else [f"time limit {exact_duration(limit)}"]
    return "; ".join(said)


def _taken_otherwise(uow: UnitOfWork, job_id: int, name: str | None) -> bool:
    """Whether an array has this name, or another job in a spelling of older versions."""
    if name is None:
        return False
    arrays = select(Job.id).where(Job.array_name.in_(spellings(name)))
    if uow.session.scalars(arrays.limit(1)).first() is not None:
        return True
    others = [each for each in spellings(name) if each != name]
    if not others:
        return False
    query = select(Job.id).where(Job.name.in_(others), Job.id != job_id)
    return uow.session.scalars(query.limit(1)).first() is not None


def commit_new(uow: UnitOfWork, label: str, name: str) -> None:
    """Commits a new job or array. Where nobody can tell whether it was kept, the error says so.

    Args:
        uow: the transaction.
        label: how the message names it.
        name: of a job by which it can be looked for.
    """
    try:
        uow.commit()
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"the database went away at the very moment {label} was to be queued: nobody can tell "
            "whether it is there",
            reason="commit-unknown",
            name=name,
        ) from error


def name_automatically(uow: UnitOfWork, job_id: int, config: JobConfig) -> None:
    """Names a job by its corpus, cell and id."""
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
