"""The tables. `versemill_migrations` creates them; a test keeps both equal.

No relationships: each use case says which rows it reads, and rows of a job go with it by
ON DELETE CASCADE.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from versemill.jobs.states import FailureClass, Outcome, Request, State
from versemill.jobs.storage.columns import PlainText, UTCDateTime, by_value, db_now

JSONTable = dict[str, Any]
Stamp = Annotated[datetime, mapped_column(insert_default=db_now())]
Digest = Annotated[str, mapped_column(String(64))]
JobId = Annotated[int, mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))]


class Base(DeclarativeBase):
    """One declarative base, one naming convention, one type map."""

    __table__: ClassVar[Table]  # every class here stands for a table, never for a join

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: PlainText(),
        datetime: UTCDateTime(),
        bytes: LargeBinary(),
        float: Double(),
        dict[str, Any]: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        State: by_value(State, "state"),
        Request: by_value(Request, "request"),
        FailureClass: by_value(FailureClass, "failure"),
        Outcome: by_value(Outcome, "outcome"),
    }


class User(Base):
    """Somebody who submits jobs."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[Stamp]


class StoredText(Base):
    """The text of a corpus, once for all jobs that use it (`Text.to_bytes`)."""

    __tablename__ = "texts"

    content_hash: Mapped[Digest] = mapped_column(primary_key=True)
    content: Mapped[bytes]
    characters: Mapped[int]
    songs: Mapped[int]
    created_at: Mapped[Stamp]


class NamedCorpus(Base):
    """A corpus added by name, without code."""

    __tablename__ = "corpora"

    name: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[Digest] = mapped_column(ForeignKey("texts.content_hash"), index=True)
    source: Mapped[str]
    added_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    added_at: Mapped[Stamp]


class StoredRequirements(Base):
    """What jobs require of plugins, once for all that require the same (`requirements.to_json`)."""

    __tablename__ = "requirements"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    requirements: Mapped[list[JSONTable]]


class Job(Base):
    """A training job and its newest figures.

    Attributes:
        attempt: number of the current or last attempt; 0 before the first.
        lease_until: set exactly while the job is running.
        available_at: not claimed before this time (back-off).
        epochs: planned epochs, from the configuration.
        retries_from: failures of attempts up to this number no longer count.
        error: why it failed, one line.
        result: held-out figures and the like.
        machine: the kind of machine that goes on with its newest checkpoint bit for bit
            (`KernelPlan.machine`); None while any will do.
        requirements: digest of the plugins that a worker must have (`StoredRequirements`); None if
            any will do.
        accepted_by: who has accepted that its plugins change, until its next checkpoint.
    """

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    state: Mapped[State]
    request: Mapped[Request] = mapped_column(default=Request.NONE)
    config: Mapped[JSONTable]
    plugins: Mapped[list[JSONTable]]
    recipe: Mapped[str]
    corpus: Mapped[str]
    cell: Mapped[str]
    content_hash: Mapped[Digest] = mapped_column(ForeignKey("texts.content_hash"), index=True)
    attempt: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[str | None] = mapped_column(String(36))
    lease_until: Mapped[datetime | None]
    queued_at: Mapped[Stamp]
    available_at: Mapped[Stamp]
    created_at: Mapped[Stamp]
    finished_at: Mapped[datetime | None]
    step: Mapped[int] = mapped_column(default=0)
    epoch: Mapped[int] = mapped_column(default=0)
    epochs: Mapped[int]
    train_perplexity: Mapped[float | None]
    valid_perplexity: Mapped[float | None]
    characters_per_second: Mapped[float | None]
    seconds_left: Mapped[float | None]
    inexact: Mapped[bool] = mapped_column(default=False)
    retries_from: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    result: Mapped[JSONTable | None]
    machine: Mapped[str | None]
    requirements: Mapped[Digest | None]
    accepted_by: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
        # In queue order for each kind of needs: a claim reads one row of each, however many wait.
        Index("ix_jobs_runnable", "state", "requirements", "queued_at", "id"),
        # A number once given never comes back, even after `rm`.
        {"sqlite_autoincrement": True},
    )


class Attempt(Base):
    """One claim of a job by one worker.

    Attributes:
        exit: how the trainer ended, in words, such as "killed by signal 9".
        first_step: the step it started from.
        checkpoint_step: the newest step it has made durable.
        output: the last 64 KiB its trainer wrote.
    """

    __tablename__ = "attempts"

    job_id: Mapped[JobId] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = mapped_column(String(36))
    worker_name: Mapped[str]
    started_at: Mapped[Stamp]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None]
    failure: Mapped[FailureClass | None]
    exit: Mapped[str | None]
    first_step: Mapped[int | None]
    last_step: Mapped[int | None]
    checkpoint_step: Mapped[int | None]
    output: Mapped[str] = mapped_column(default="")


class Event(Base):
    """What happened to a job: appended, never changed."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[JobId] = mapped_column(index=True)
    at: Mapped[Stamp]
    actor: Mapped[str]
    from_state: Mapped[State | None] = mapped_column(by_value(State, "from_state"))
    to_state: Mapped[State | None] = mapped_column(by_value(State, "to_state"))
    message: Mapped[str]


class Metric(Base):
    """The figures of one report."""

    __tablename__ = "metrics"

    job_id: Mapped[JobId] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempt: Mapped[int]
    epoch: Mapped[int]
    train_perplexity: Mapped[float]
    valid_perplexity: Mapped[float | None]
    characters_per_second: Mapped[float | None]
    at: Mapped[Stamp]


class LyricText(Base):
    """A text the model wrote."""

    __tablename__ = "lyrics"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[JobId]
    attempt: Mapped[int]
    step: Mapped[int]
    epoch: Mapped[int]
    prefix: Mapped[str]
    text: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    decoder: Mapped[str]
    created_at: Mapped[Stamp]

    __table_args__ = (Index(None, "job_id", "step"),)


class StoredCheckpoint(Base):
    """A checkpoint; its bytes are in `checkpoint_chunks`.

    Attributes:
        sha256: of all bytes; set when complete.
        complete: whether every byte has arrived.
    """

    __tablename__ = "checkpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[JobId] = mapped_column(index=True)
    attempt: Mapped[int]
    step: Mapped[int]
    epoch: Mapped[int]
    is_last: Mapped[bool]
    is_best: Mapped[bool]
    is_final: Mapped[bool]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[Digest | None]
    complete: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[Stamp]

    # A reader that still holds an id must never get another checkpoint's bytes.
    __table_args__ = ({"sqlite_autoincrement": True},)


class CheckpointChunk(Base):
    """A piece of a checkpoint, with its own digest."""

    __tablename__ = "checkpoint_chunks"

    checkpoint_id: Mapped[int] = mapped_column(
        ForeignKey("checkpoints.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]
    sha256: Mapped[Digest]


class Worker(Base):
    """A worker process, alive while it is seen.

    Attributes:
        id: UUID per process start; the name is only a label.
        steady_since: since when it has been seen without a gap of one lease.
        machines: the kinds of machine its slots are; None until it has found out.
        drained_by: who asked it to hand its jobs over and end.
        plugins: those that jobs may require (`OfferedPlugin`); None until it has found out.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    slots: Mapped[int]
    version: Mapped[str]
    started_at: Mapped[Stamp]
    seen_at: Mapped[Stamp]
    steady_since: Mapped[Stamp]
    machines: Mapped[list[str] | None]
    drained_by: Mapped[str | None]
    plugins: Mapped[list[dict[str, Any]] | None]
