"""Jobs that wait for others to end, checked when they are submitted.

`transitions.release_waiting` lets them go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from versemill.errors import JobStateError, UnknownNameError
from versemill.jobs.service.members import find_jobs
from versemill.jobs.states import State
from versemill.jobs.storage.tables import Dependency, Job
from versemill.phrases import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from versemill.jobs.service.principal import Principal
    from versemill.jobs.service.timing import After, Condition
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork

_NAMED = 5


def awaited(store: Store, after: Sequence[After], principal: Principal) -> dict[int, Condition]:
    """The jobs meant, by id; where one is named twice, the stricter condition holds.

    Raises:
        UnknownNameError: there is no such job or array.
    """
    found: dict[int, Condition] = {}
    for each in after:
        for job in find_jobs(store, each.job, principal).jobs:
            if found.get(job.id) != "succeeded":
                found[job.id] = each.condition
    return found


def still_awaited(uow: UnitOfWork, wanted: Mapping[int, Condition]) -> dict[int, Condition]:
    """Those that have not ended yet as wanted. None of them ends before the transaction does.

    Raises:
        JobStateError: one has ended otherwise, so that a job would wait for ever.
        UnknownNameError: one was removed meanwhile.
    """
    query = select(Job.id, Job.name, Job.state).where(Job.id.in_(wanted)).order_by(Job.id)
    rows = uow.session.execute(query.with_for_update()).all() if wanted else ()
    for missing in wanted.keys() - {row.id for row in rows}:
        raise UnknownNameError("job", str(missing), ())
    open_ones: dict[int, Condition] = {}
    for job_id, name, state in rows:
        condition = wanted[job_id]
        if state.ended and state is not State.SUCCEEDED and condition == "succeeded":
            raise JobStateError(
                f"job {job_id} ({name}) is {state}: a job after its success would wait for ever",
                reason="after-failed",
                job_id=job_id,
            )
        if not state.ended:
            open_ones[job_id] = condition
    return open_ones


def keep_dependencies(uow: UnitOfWork, job_id: int, after: Mapping[int, Condition]) -> None:
    """Stores what a new job waits for.

    Raises:
        JobStateError: a job would wait for itself or for a later one, and so perhaps in a circle.
    """
    for other, condition in after.items():
        if other >= job_id:
            raise JobStateError(f"job {job_id} cannot wait for job {other}, which is not before it")
        row = {"job_id": job_id, "after_id": other, "condition": condition}
        uow.execute(insert(Dependency.__table__), row)


def refuse_if_awaited(uow: UnitOfWork, job_id: int, label: str) -> None:
    """Raises `JobStateError` if other jobs wait for this one."""
    query = select(Job.id, Job.name, Job.state).join(Dependency, Dependency.job_id == Job.id)
    rows = uow.session.execute(query.where(Dependency.after_id == job_id).order_by(Job.id)).all()
    if rows:
        names = [f"job {row.id} ({row.name}, {row.state})" for row in rows]
        verb = "waits" if len(rows) == 1 else "wait"
        raise JobStateError(
            f"{label} cannot be removed: {listed(names, _NAMED)} {verb} for it",
            reason="awaited",
            job_ids=[row.id for row in rows],
        )
