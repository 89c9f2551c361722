"""Texts by content hash, and corpora that are nothing but a named text."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import aliased

from versemill.errors import ConfigError, JobStateError, UnknownNameError
from versemill.jobs.service.queueing import require_enabled
from versemill.jobs.service.rights import owner_account, require_owner
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.tables import Job, NamedCorpus, StoredText, User
from versemill.jobs.views import AddedCorpus, CorpusView
from versemill.normalisation import prepared, spellings
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row, Select
    from sqlalchemy.orm import Session

    from versemill.jobs.service.principal import Principal
    from versemill.jobs.states import State
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork

_NAME = re.compile(r"\w[\w-]{0,63}")
_JOBS_SHOWN = 5
_LONG = 1 << 18  # bytes; what is shorter takes milliseconds
_EARLY_SECONDS = 3600


def add_corpus(
    store: Store, name: str, text: Text, source: str, principal: Principal
) -> AddedCorpus:
    """Adds a corpus without code, or lets its name stand for another text from now on.

    Jobs keep the text they were submitted with. Adding the same text again changes nothing.

    Args:
        store: where to.
        name: letters (of any script), digits, `-` and `_`; at most 64.
        text: its text.
        source: where it came from, for listings.
        principal: who adds it.

    Raises:
        ConfigError: the name is malformed.
        ForbiddenError: somebody else has added a corpus of this name, or the principal is disabled.
    """
    name = prepared(name, "corpus name")
    if not _NAME.fullmatch(name):
        raise ConfigError("corpus name", name, "1 to 64 letters, digits, '-' and '_'")
    content_hash = store_text_early(store, text)
    with store.unit_of_work() as uow:
        uow.lock("texts")
        owner = owner_account(uow, principal)
        require_enabled(owner)
        name = _stored_name(uow.session, name)
        before = uow.scalar(select(NamedCorpus.content_hash).where(NamedCorpus.name == name))
        if before != content_hash:
            _require_own(uow, name, principal, "replace")
        keep_text(uow, text, content_hash)
        kept_by = 0
        if before != content_hash:
            values = {
                "name": name,
                "content_hash": content_hash,
                "source": source,
                "added_by": owner.id,
                "added_at": uow.scalar(select(db_now())),
            }
            uow.put(NamedCorpus, [values], key=["name"])
        if before not in {None, content_hash}:
            kept_by = len(_jobs_with(uow, name, before))
            drop_unused_text(uow, before)
        uow.commit()
    corpus = next(view for view in list_corpora(store) if view.name == name)
    return AddedCorpus(corpus=corpus, replaced=before not in {None, content_hash}, kept_by=kept_by)


def remove_corpus(store: Store, name: str, principal: Principal) -> None:
    """Removes a named corpus; jobs that are over keep its text.

    Args:
        store: where it is.
        name: its name.
        principal: who wants it.

    Raises:
        UnknownNameError: there is no such corpus.
        ForbiddenError: somebody else has added it.
        JobStateError: jobs that are not over were submitted with it.
    """
    with store.unit_of_work() as uow:
        uow.lock("texts")
        name = _stored_name(uow.session, name)
        content_hash = _require_own(uow, name, principal, "remove")
        if content_hash is None:
            known = uow.session.scalars(select(NamedCorpus.name)).all()
            raise UnknownNameError("corpus", name, known)
        uow.execute(delete(NamedCorpus).where(NamedCorpus.name == name))
        needed = [job for job in _jobs_with(uow, name, content_hash) if not job.state.ended]
        if needed:
            raise JobStateError(
                f"corpus {name!r} is needed by {_named(needed)}",
                reason="corpus-needed",
                job_ids=[job.id for job in needed],
            )
        drop_unused_text(uow, content_hash)
        uow.commit()


def _require_own(uow: UnitOfWork, name: str, principal: Principal, doing: str) -> str | None:
    """The content hash of a corpus that the principal may change; None if there is none."""
    query = select(NamedCorpus.content_hash, NamedCorpus.added_by).where(NamedCorpus.name == name)
    found = uow.session.execute(query).first()
    if found is None:
        return None
    require_owner(uow.session, found.added_by, principal, doing, f"corpus {name!r}")
    return str(found.content_hash)


def _jobs_with(uow: UnitOfWork, name: str, content_hash: str) -> Sequence[Row[int, str, State]]:
    """The jobs that were submitted with this corpus when it had this text."""
    query = select(Job.id, Job.name, Job.state).order_by(Job.id)
    return uow.session.execute(
        query.where(Job.content_hash == content_hash, Job.corpus == name)
    ).all()


def _named(jobs: Sequence[Row[int, str, State]]) -> str:
    """A few jobs for a message."""
    named = [f"job {job.id} ({job.name}, {job.state})" for job in jobs[:_JOBS_SHOWN]]
    more = f" and {len(jobs) - _JOBS_SHOWN:,} more" if len(jobs) > _JOBS_SHOWN else ""
    return f"{', '.join(named)}{more}"


def list_corpora(store: Store) -> list[CorpusView]:
    """Named corpora, by name."""
    query = (
        select(
            NamedCorpus.name,
            StoredText.characters,
            StoredText.songs,
            NamedCorpus.source,
            User.name.label("added_by"),
            NamedCorpus.added_at,
            NamedCorpus.content_hash,
        )
        .join(StoredText, StoredText.content_hash == NamedCorpus.content_hash)
        .join(User, User.id == NamedCorpus.added_by)
        .order_by(NamedCorpus.name)
    )
    with store.reading() as session:
        return [CorpusView(**row) for row in session.execute(query).mappings()]


def corpus_text(store: Store, name: str) -> Text | None:
    """The text of a named corpus; None if there is no such corpus."""
    query = select(StoredText.content).join(
        NamedCorpus, NamedCorpus.content_hash == StoredText.content_hash
    )
    with store.reading() as session:
        stored = _stored_name(session, name)
        content = session.scalar(query.where(NamedCorpus.name == stored))
    return None if content is None else Text.from_bytes(content)


def text_by_hash(store: Store, content_hash: str) -> Text:
    """A stored text; raises `UnknownNameError`."""
    query = select(StoredText.content).where(StoredText.content_hash == content_hash)
    with store.reading() as session:
        content = session.scalar(query)
    if content is None:
        raise UnknownNameError("text", content_hash, (), hint="no job or corpus uses it any more")
    return Text.from_bytes(content)


def store_text_early(store: Store, text: Text) -> str:
    """Stores a long text before the transaction that needs it, so that nobody waits meanwhile.

    No lock is held, so that it may be dropped until something uses it: `keep_text` looks again.

    Returns:
        Its content hash.
    """
    content = text.to_bytes()
    content_hash = hashlib.sha256(content).hexdigest()
    if len(content) >= _LONG:
        with store.reading() as session:
            known = session.scalar(_stored(content_hash))
        if known is None:
            with store.unit_of_work(bulk=True) as uow:
                uow.insert_if_absent(StoredText, _row(text, content_hash), key="content_hash")
                uow.commit()
    return content_hash


def keep_text(uow: UnitOfWork, text: Text, content_hash: str) -> str:
    """Stores a text unless it is there, and keeps it there until the transaction has ended.

    Returns:
        `content_hash`, which is the text's.
    """
    uow.lock("texts", shared=True)
    if uow.scalar(_stored(content_hash)) is None:  # do not send megabytes in vain
        uow.insert_if_absent(StoredText, _row(text, content_hash), key="content_hash")
    return content_hash


def _stored(content_hash: str) -> Select[str]:
    return select(StoredText.content_hash).where(StoredText.content_hash == content_hash)


def _row(text: Text, content_hash: str) -> dict[str, Any]:
    return {
        "content_hash": content_hash,
        "content": text.to_bytes(),
        "characters": text.characters,
        "songs": len(text.songs),
    }


def drop_unused_text(uow: UnitOfWork, content_hash: str) -> None:
    """Deletes a text that no job and no corpus uses, and with it any that was left unused.

    The caller holds the lock `texts`. Unused and new is what somebody stores ahead just now.
    """
    stored = aliased(StoredText)
    jobs = select(Job.id).where(Job.content_hash == stored.content_hash)
    named = select(NamedCorpus.name).where(NamedCorpus.content_hash == stored.content_hash)
    unused = select(stored.content_hash).where(~jobs.exists(), ~named.exists())
    this = StoredText.content_hash == content_hash
    old = StoredText.created_at < db_now(-_EARLY_SECONDS)
    uow.execute(delete(StoredText).where(StoredText.content_hash.in_(unused), or_(this, old)))


def _stored_name(session: Session, name: str) -> str:
    """How the corpus that is meant by `name` is stored: older versions did not normalise it."""
    names = spellings(name)
    if len(names) == 1:
        return name
    stored = session.scalars(select(NamedCorpus.name).where(NamedCorpus.name.in_(names))).all()
    return next((each for each in names if each in stored), names[0])
