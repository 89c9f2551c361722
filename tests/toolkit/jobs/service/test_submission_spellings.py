"""Names that look alike are one name, on both databases, and those of before are still found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from people import ANN
from versemill.errors import ConfigError, JobStateError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Principal
from versemill.jobs.storage.tables import Job, NamedCorpus, User
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from job_queue import JobQueue

COMPOSED, DECOMPOSED = "café", "cafe\u0301"
OTHER = Text(("another\n",))


def as_before(queue: JobQueue, table: type[Job] | type[NamedCorpus] | type[User]) -> None:
    """Stores all names as versions did that took them as they were typed."""
    with queue.store.unit_of_work() as uow:
        uow.execute(update(table).where(table.name == COMPOSED).values(name=DECOMPOSED))
        uow.commit()


def test_a_job_is_found_by_either_spelling(queue: JobQueue) -> None:
    job = queue.submit(DECOMPOSED)
    assert job.name == COMPOSED
    for name in (COMPOSED, DECOMPOSED):
        assert service.find(queue.store, name).id == job.id
        with pytest.raises(ConfigError, match="no other job has"):
            queue.submit(name)


def test_a_job_of_before_is_found_and_keeps_its_name(queue: JobQueue) -> None:
    job = queue.submit(COMPOSED)
    as_before(queue, Job)
    for name in (COMPOSED, DECOMPOSED):
        assert service.find(queue.store, name).id == job.id
        with pytest.raises(ConfigError, match="no other job has"):
            queue.submit(name)
    assert len(service.jobs(queue.store)) == 1


def test_of_two_jobs_of_before_the_one_as_typed_is_meant(queue: JobQueue) -> None:
    old = queue.submit(COMPOSED)
    as_before(queue, Job)
    new = queue.submit("new")
    with queue.store.unit_of_work() as uow:
        uow.execute(update(Job).where(Job.id == new.id).values(name=COMPOSED))
        uow.commit()
    assert service.find(queue.store, COMPOSED).id == new.id
    assert service.find(queue.store, DECOMPOSED).id == old.id


def test_a_user_is_one_whatever_the_spelling(queue: JobQueue) -> None:
    service.add_corpus(queue.store, "one", OTHER, "a.txt", Principal(DECOMPOSED))
    as_before(queue, User)
    corpus = service.add_corpus(queue.store, "two", OTHER, "a.txt", Principal(COMPOSED)).corpus
    assert corpus.added_by == DECOMPOSED
    job = queue.submit("mine")
    with queue.store.unit_of_work() as uow:
        user = select(User.id).where(User.name == DECOMPOSED).scalar_subquery()
        uow.execute(update(Job).where(Job.id == job.id).values(owner_id=user))
        uow.commit()
    for owner in (COMPOSED, DECOMPOSED):
        assert [job.name for job in service.jobs(queue.store, owner=owner)] == ["mine"]
        assert service.find(queue.store, "@last", Principal(owner)).name == "mine"


@pytest.mark.parametrize("before", [False, True])
def test_a_corpus_is_one_whatever_the_spelling(queue: JobQueue, before: bool) -> None:
    added = service.add_corpus(queue.store, DECOMPOSED, OTHER, "a.txt", ANN)
    assert added.corpus.name == COMPOSED
    if before:
        as_before(queue, NamedCorpus)
    newer = Text(("newer\n",))
    again = service.add_corpus(queue.store, COMPOSED, newer, "b.txt", ANN)
    assert again.replaced
    assert len(service.list_corpora(queue.store)) == 1
    for name in (COMPOSED, DECOMPOSED):
        assert service.corpus_text(queue.store, name) == newer
    service.remove_corpus(queue.store, DECOMPOSED if not before else COMPOSED, ANN)
    assert service.list_corpora(queue.store) == []


def test_a_corpus_that_a_job_needs_is_kept_whatever_the_spelling(queue: JobQueue) -> None:
    service.add_corpus(queue.store, COMPOSED, OTHER, "a.txt", ANN)
    queue.submit(text=OTHER, corpus=COMPOSED)
    with pytest.raises(JobStateError, match="is needed by"):
        service.remove_corpus(queue.store, DECOMPOSED, ANN)


@pytest.mark.parametrize("name", ["caf\udce9", "a\x1b[2J", "a\nb", "e" + "\u0301" * 200])
def test_what_is_no_name_is_refused_in_one_line(queue: JobQueue, name: str) -> None:
    for refused in (
        lambda: queue.submit(name),
        lambda: service.find(queue.store, name),
        lambda: service.add_corpus(queue.store, name, OTHER, "a.txt", ANN),
        lambda: service.add_corpus(queue.store, "mine", OTHER, "a.txt", Principal(name)),
    ):
        with pytest.raises(ConfigError) as caught:
            refused()
        assert str(caught.value).isprintable()
    assert service.jobs(queue.store) == []


def test_an_unknown_name_is_shown_in_short(queue: JobQueue) -> None:
    with pytest.raises(UnknownNameError) as caught:
        service.find(queue.store, "é" * 50_000)
    assert len(str(caught.value)) < 1_000


def test_a_worker_is_drained_by_either_spelling(queue: JobQueue) -> None:
    worker_api.register_worker(queue.store, COMPOSED, 1)
    worker_api.register_worker(queue.store, DECOMPOSED, 1)  # as an older version's worker
    assert len(service.drain(queue.store, DECOMPOSED, ANN)) == 2
