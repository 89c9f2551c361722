"""How a job is submitted: one transaction, and a name for it."""

from __future__ import annotations

import re
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import SQLAlchemyError

from versemill.errors import ConfigError, DatabaseError
from versemill.jobs.execution.transitions import note
from versemill.jobs.service.corpora import keep_text, store_ahead, user_id
from versemill.jobs.service.listings import job_view
from versemill.jobs.states import State
from versemill.jobs.storage.plugin_fit import keep_needs
from versemill.jobs.storage.tables import Job
from versemill.normalisation import prepared, spellings
from versemill.plugins.requirements import at_least
from versemill.text.reading import STANDARD_INPUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Update

    from versemill.config.job import JobConfig
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork
    from versemill.jobs.views import JobView
    from versemill.text.corpus import Text

_INVISIBLE = r"\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_NAME = re.compile(rf"(?![@-])(?!\d+$)[^{_INVISIBLE}/\\]{{1,100}}")
_NAME_RULE = (
    "1 to 100 characters without spaces, slashes or invisible ones, not only digits, "
    "not beginning with '@' or '-'"
)


def submit(
    store: Store,
    config: JobConfig,
    text: Text,
    plugins: Sequence[dict[str, Any]],
    *,
    owner: str,
    name: str | None = None,
    wake: Callable[[], None] = lambda: None,
) -> JobView:
    """Queues a job; once this returns, it is durable.

    Args:
        store: where to.
        config: what to train, already resolved.
        text: the corpus's text, stored once per content.
        plugins: records of the plugins the job needs.
        owner: who submits.
        name: unique name; made from corpus, cell and id when None.
        wake: called after the commit, to tell workers. Must not raise.

    Raises:
        ConfigError: the name is malformed or taken.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise ConfigError("name", name, _NAME_RULE)
    name = None if name is None else prepared(name, "name")
    content_hash = store_ahead(store, text)
    with store.unit_of_work() as uow:
        values: dict[str, Any] = {
            "name": name or str(uuid.uuid4()),
            "owner_id": user_id(uow, owner),
            "state": State.QUEUED,
            "config": config.to_json(),
            "plugins": list(plugins),
            "needs": keep_needs(uow, at_least(plugins)),
            "recipe": config.recipe,
            "corpus": config.corpus,
            "cell": config.cell,
            "content_hash": keep_text(uow, text, content_hash),
            "epochs": config.training.epochs,
        }
        job_id = uow.insert_if_absent(Job, values, key="name", returning="id")
        if job_id is None or _taken_otherwise(uow, job_id, name):
            raise ConfigError("name", str(name), "a name that no other job has")
        if name is None:
            _name_automatically(uow, job_id, config)
        note(uow, job_id, actor=owner, message="submitted", end=State.QUEUED)
        view = job_view(uow.session, job_id)
        _commit_knowingly(uow, view)
    wake()
    return view


def _taken_otherwise(uow: UnitOfWork, job_id: int, name: str | None) -> bool:
    """Whether another job has this name in another spelling, as older versions stored it."""
    others = [] if name is None else [each for each in spellings(name) if each != name]
    if not others:
        return False
    query = select(Job.id).where(Job.name.in_(others), Job.id != job_id)
    return uow.session.scalars(query.limit(1)).first() is not None


def _commit_knowingly(uow: UnitOfWork, job: JobView) -> None:
    """Commits a new job. Where nobody can tell whether it was kept, the error says so."""
    try:
        uow.commit()
    except SQLAlchemyError as error:
        raise DatabaseError(
            f"the database went away at the very moment job {job.name} was to be queued; look "
            "whether it is there with `versemill jobs` before you submit it again"
        ) from error


def _name_automatically(uow: UnitOfWork, job_id: int, config: JobConfig) -> None:
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
