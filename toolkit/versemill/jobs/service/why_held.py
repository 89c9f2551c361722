"""What holds a queued job back whatever workers are there: other jobs, or a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from versemill.jobs.notices import AwaitedJob, BeginsLater, WaitsForJobs
from versemill.jobs.storage.tables import Dependency, Job

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from versemill.jobs.notices import WaitingReason


def why_held(
    session: Session, job_id: int, *, begin_at: datetime | None, now: datetime
) -> WaitingReason | None:
    """The jobs that a queued job waits for, or its time; None where it is free to start."""
    query = (
        select(Job.id, Job.name, Job.state, Dependency.condition)
        .join(Dependency, Dependency.after_id == Job.id)
        .where(Dependency.job_id == job_id)
        .order_by(Job.id)
    )
    jobs = [AwaitedJob(**row) for row in session.execute(query).mappings()]
    if jobs:
        return WaitsForJobs(jobs=tuple(sorted(jobs, key=lambda job: not job.hopeless)))
    if begin_at is not None and begin_at > now:
        return BeginsLater(begin_at=begin_at)
    return None
