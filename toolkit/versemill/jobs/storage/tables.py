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
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from versemill.jobs.states import FailureClass, Outcome, Priority, Request, Role, State
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
        Priority: by_value(Priority, "priority", checked=False),
        Role: by_value(Role, "role", checked=False),
        Request: by_value(Request, "request", checked=False),
        FailureClass: by_value(FailureClass, "failure"),
        Outcome: by_value(Outcome, "outcome"),
    }


class User(Base):
    """Somebody who submits jobs.

    Attributes:
        disabled: whether their jobs are held, and they may submit none.
        running_limit: most jobs of theirs that run at once; None for no limit.
        queued_limit: most that wait.
        gpu_limit: most GPUs that they hold at once.
        urgent_limit: most urgent jobs that wait or run.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[Stamp]
    role: Mapped[Role] = mapped_column(default=Role.MEMBER, server_default="member")
    disabled: Mapped[bool] = mapped_column(default=False, server_default=false())
    running_limit: Mapped[int | None]
    queued_limit: Mapped[int | None]
    gpu_limit: Mapped[int | None]
    urgent_limit: Mapped[int | None] = mapped_column(insert_default=0, server_default="0")


class Usage(Base):
    """What an owner has used of CPUs or of GPUs (`scheduling`).

    Attributes:
        kind: `cpu` or `gpu`.
        seconds: device seconds, decayed up to `as_of`.
    """

    __tablename__ = "usage"

    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    seconds: Mapped[float]
    as_of: Mapped[datetime]


class LastStart(Base):
    """When a job of this owner and priority was last started."""

    __tablename__ = "last_starts"

    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    priority: Mapped[Priority] = mapped_column(primary_key=True)
    at: Mapped[datetime]


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
    """What jobs require of a worker, once for all that require the same.

    Attributes:
        requirements: of plugins (`requirements.to_json`).
        device: of the device (`DeviceNeeds.to_json`); None where any will do.
    """

    __tablename__ = "requirements"

    digest: Mapped[Digest] = mapped_column(primary_key=True)
    requirements: Mapped[list[JSONTable]]
    device: Mapped[JSONTable | None]


class Job(Base):
    """A training job and its newest figures.

    Attributes:
        attempt: number of the current or last attempt; 0 before the first.
        lease_until: set exactly while the job is running.
        available_at: not claimed before this time (back-off, or `begin_at`).
        begin_at: when its owner wants it to begin; None for as soon as possible.
        held: whether it waits for other jobs (`Dependency`).
        array_name: of the array that it belongs to; None if to none.
        epochs: planned epochs, from the configuration.
        retries_from: failures of attempts up to this number no longer count.
        error: why it failed, one line.
        result: held-out figures and the like.
        machine: the kind of machine that goes on with its newest checkpoint bit for bit
            (`KernelPlan.machine`); None while any will do.
        requirements: digest of what a worker must have (`StoredRequirements`).
        accepted_by: who has accepted that its plugins change, until its next checkpoint.
        shape: digest of what decides how much device memory it takes; None if not known.
        time_limit: most seconds of device time, over all attempts; None for no limit.
        preempted_for: the urgent job for which it gives up its place, while it is asked to.
        place_worker_id: the worker that keeps a place for it, which another job gives up.
        array_values: the settings in which it differs from other members of its array.
        reservation_id: the reservation for which it leaves its place, while it is asked to.
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
    priority: Mapped[Priority] = mapped_column(default=Priority.NORMAL, server_default="normal")
    held: Mapped[bool] = mapped_column(default=False, server_default=false())
    begin_at: Mapped[datetime | None]
    array_name: Mapped[str | None] = mapped_column(index=True)
    shape: Mapped[Digest | None]
    time_limit: Mapped[float | None]
    preempted_for: Mapped[int | None]
    place_worker_id: Mapped[str | None] = mapped_column(String(36))
    array_values: Mapped[JSONTable | None]
    reservation_id: Mapped[int | None]

    __table_args__ = (
        CheckConstraint("request IN ('none', 'yield', 'pause', 'cancel')", name="request"),
        CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease"),
        # In queue order for each owner, priority and set of requirements: a claim reads one row of
        # each, however many wait.
        Index(
            "ix_jobs_heads",
            "state",
            "held",
            "owner_id",
            "priority",
            "requirements",
            "queued_at",
            "id",
        ),
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
        device_kind: `cpu` or `gpu`.
        device_id: UUID of the GPU, the same for all workers on it; None on a CPU.
        device_name: as its driver names it.
        share: of the device that it holds, for usage.
        memory: bytes of the GPU's memory that it was admitted with.
        memory_used: most bytes of it that the trainer has really taken.
        given_back: seconds of device time that are not charged, since they were lost to others.
        provenance: with what it computes: package versions, kernel plan, device (JSON values).
        preempted_for: the urgent job for which it gave up its place; None if it did not.
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
    device_kind: Mapped[str] = mapped_column(String(8), default="cpu", server_default="cpu")
    device_id: Mapped[str | None]
    device_name: Mapped[str | None]
    share: Mapped[float] = mapped_column(default=1.0, server_default="1")
    memory: Mapped[int | None] = mapped_column(BigInteger)
    memory_used: Mapped[int | None] = mapped_column(BigInteger)
    given_back: Mapped[float] = mapped_column(default=0.0, server_default="0")
    provenance: Mapped[JSONTable | None]
    preempted_for: Mapped[int | None]


class Dependency(Base):
    """A job that waits for another to end.

    Attributes:
        condition: `succeeded` or `any`: how the other has to end.
    """

    __tablename__ = "dependencies"

    job_id: Mapped[JobId] = mapped_column(primary_key=True)
    after_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True, index=True)
    condition: Mapped[str] = mapped_column(String(16))


class Forecast(Base):
    """When a waiting job was expected to start, and when it did.

    Attributes:
        queued_at: the job's, at the time: one forecast for each time a job is queued.
        earliest: start of the range.
        latest: end of the range.
        started_at: None while it waits.
    """

    __tablename__ = "forecasts"

    job_id: Mapped[JobId] = mapped_column(primary_key=True)
    queued_at: Mapped[datetime] = mapped_column(primary_key=True)
    made_at: Mapped[Stamp]
    earliest: Mapped[datetime]
    latest: Mapped[datetime]
    started_at: Mapped[datetime | None]


class MemorySeen(Base):
    """The most device memory that attempts of one shape have taken (`Job.shape`)."""

    __tablename__ = "memory_seen"

    shape: Mapped[Digest] = mapped_column(primary_key=True)
    bytes_used: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[Stamp]


class DeviceHold(Base):
    """A GPU that is being kept free for a job which needs it whole."""

    __tablename__ = "device_holds"

    device_id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[JobId] = mapped_column(unique=True)


class Reservation(Base):
    """Places that are kept for an owner or a label over a period.

    Attributes:
        target: name of a worker, or UUID of a GPU.
        owner_id: whose jobs may use it meanwhile; None if `label` says it.
        label: jobs that ask for this label may.
        created_by: who made it.
    """

    __tablename__ = "reservations"

    id: Mapped[int] = mapped_column(primary_key=True)
    target: Mapped[str]
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    label: Mapped[str | None]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    created_by: Mapped[str]
    created_at: Mapped[Stamp]

    __table_args__ = ({"sqlite_autoincrement": True},)


class Subscription(Base):
    """Where somebody wants to be told what happens to their jobs.

    Attributes:
        url: of the receiver, as apprise takes it; secret.
        events: kinds of event that are told.
    """

    __tablename__ = "subscriptions"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    url: Mapped[str]
    events: Mapped[list[str]]
    created_at: Mapped[Stamp]

    __table_args__ = ({"sqlite_autoincrement": True},)


class Delivery(Base):
    """A message to a subscriber: recorded before it is sent.

    Attributes:
        state: `recorded`, `sending`, `sent`, or `failed`.
        tries: how often it was sent.
        next_at: not sent before this time.
        error: why it could not be sent, without secrets.
    """

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    subscription_id: Mapped[int] = mapped_column(
        ForeignKey("subscriptions.id", ondelete="CASCADE"), index=True
    )
    job_id: Mapped[JobId] = mapped_column(index=True)
    event: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="recorded")
    tries: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[Stamp]
    error: Mapped[str | None]
    created_at: Mapped[Stamp]

    __table_args__ = (
        Index("ix_deliveries_due", "state", "next_at"),
        {"sqlite_autoincrement": True},
    )


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
        only_job: the one job it works on; None for any.
        labels: what jobs may ask for.
        devices: its devices as last measured (`Device.to_json`); None until it has found out.
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
    only_job: Mapped[int | None]
    labels: Mapped[list[str] | None]
    devices: Mapped[list[dict[str, Any]] | None]
