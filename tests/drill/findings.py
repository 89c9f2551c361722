"""What a drill has found: figures, and everything that must hold, read from the database."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from versemill.errors import VersemillError
from versemill.jobs.states import TRANSITIONS, Outcome, State
from versemill.jobs.storage.tables import (
    Attempt,
    Base,
    CheckpointChunk,
    Event,
    Job,
    Metric,
    StoredCheckpoint,
)
from versemill.testing.resume_proof.comparison import first_difference, read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.orm import Session

    from drill.campaign import Campaign
    from versemill.testing.resume_proof.comparison import Record

_SHOWN = 5
_LOST = {Outcome.FAILED, Outcome.LEASE_EXPIRED}


@dataclass
class Findings:
    """What came of a drill.

    Attributes:
        accepted, finished: jobs.
        lost: ids of accepted jobs that are not there, or were not trained to their end.
        doubled: ids of jobs of which two attempts overlapped or did the same twice.
        broken: for each invariant, where it does not hold.
        recovery: seconds from a forced failure to the next attempt.
        repeated: steps trained again after an attempt was lost.
        preempted: attempts that gave up their place for an urgent job.
        tracebacks: last lines of tracebacks in workers' logs.
    """

    accepted: int = 0
    finished: int = 0
    attempts: int = 0
    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    broken: dict[str, list[str]] = field(default_factory=dict)
    recovery: list[float] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    preempted: int = 0
    tracebacks: Counter[str] = field(default_factory=Counter)

    @property
    def passed(self) -> bool:
        """Whether nothing was lost or doubled, and everything held."""
        return not (self.lost or self.doubled or any(self.broken.values()))


def examine(drill: Campaign, undisturbed: dict[int, Record]) -> Findings:
    """Reads everything, once all workers have ended."""
    found = Findings(accepted=len(drill.work.accepted))
    with drill.work.store.reading() as session:
        rows = _Rows(session)
    found.attempts = sum(len(attempts) for attempts in rows.attempts.values())
    for job_id in drill.work.accepted:
        job = rows.jobs.get(job_id)
        if job is None or job.state is not State.SUCCEEDED:
            found.lost.append(job_id)
        else:
            found.finished += 1
    found.preempted = sum(
        row.preempted_for is not None for attempts in rows.attempts.values() for row in attempts
    )
    for name, look in _INVARIANTS.items():
        found.broken[name] = list(look(rows))
    found.doubled = [
        job_id for job_id in rows.jobs if [*_overlaps(rows, job_id), *_move_errors(rows, job_id)]
    ]
    found.broken["same as undisturbed, bit for bit"] = list(_differences(drill, rows, undisturbed))
    found.broken["nothing left behind"] = list(_leftovers(drill, rows))
    found.recovery = list(_recoveries(drill, rows))
    found.repeated = list(_repetitions(rows))
    for member in drill.fleet:
        found.tracebacks.update(_tracebacks(member.log.read_text(errors="replace")))
    return found


class _Rows:
    """Every row that records what happened, by job."""

    def __init__(self, session: Session) -> None:
        self.jobs: dict[int, Any] = {job.id: job for job in session.scalars(select(Job))}
        self.attempts = self._by_job(session, Attempt, Attempt.number)
        self.events = self._by_job(session, Event, Event.id)
        self.metrics = self._by_job(session, Metric, Metric.step)
        self.checkpoints = self._by_job(session, StoredCheckpoint, StoredCheckpoint.id)
        self.stray_chunks = session.scalar(
            select(func.count())
            .select_from(CheckpointChunk)
            .where(CheckpointChunk.checkpoint_id.not_in(select(StoredCheckpoint.id)))
        )
        session.expunge_all()

    @staticmethod
    def _by_job(session: Session, table: type[Base], order: Any) -> dict[int, list[Any]]:
        found = defaultdict(list)
        for row in session.scalars(select(table).order_by(order)):
            found[row.job_id].append(row)  # type: ignore[attr-defined]
        return found

    def moves(self, job_id: int) -> list[Any]:
        """The events that moved the job."""
        return [event for event in self.events[job_id] if event.to_state is not None]


def _ended(rows: _Rows) -> Iterable[str]:
    for job in rows.jobs.values():
        if job.state is State.RUNNING or (job.lease_until is None) != (job.state != State.RUNNING):
            yield f"job {job.id} is {job.state}"


def _one_live_attempt(rows: _Rows) -> Iterable[str]:
    for job_id in rows.jobs:
        yield from _overlaps(rows, job_id)
        still_open = [row.number for row in rows.attempts[job_id] if row.ended_at is None]
        if still_open:
            yield f"job {job_id}: attempts {still_open} have not ended"


def _overlaps(rows: _Rows, job_id: int) -> Iterable[str]:
    for one, other in pairwise(rows.attempts[job_id]):
        if one.ended_at is None or one.ended_at > other.started_at:
            yield f"job {job_id}: attempts {one.number} and {other.number} overlap"


def _monotone(rows: _Rows) -> Iterable[str]:
    for job in rows.jobs.values():
        numbers = [row.number for row in rows.attempts[job.id]]
        if numbers != list(range(1, job.attempt + 1)):
            yield f"job {job.id}: attempts {numbers}, the last {job.attempt}"


def _valid_moves(rows: _Rows) -> Iterable[str]:
    for job_id in rows.jobs:
        yield from _move_errors(rows, job_id)


def _move_errors(rows: _Rows, job_id: int) -> Iterable[str]:
    """The events are one way through `TRANSITIONS`, on which each claim opens one attempt."""
    state, claims = None, 0
    for event in rows.moves(job_id):
        move = (event.from_state, event.to_state)
        if event.from_state != state or (state is not None and move not in TRANSITIONS):
            yield f"job {job_id} was {state} and went from {event.from_state} to {event.to_state}"
        state = event.to_state
        claims += state is State.RUNNING
    if state is not rows.jobs[job_id].state or claims != rows.jobs[job_id].attempt:
        yield f"job {job_id} is {rows.jobs[job_id].state} after {claims} claims; events say {state}"


def _whole_curves(rows: _Rows) -> Iterable[str]:
    for job in rows.jobs.values():
        metrics = rows.metrics[job.id]
        epochs = [row.epoch for row in metrics]
        if job.state is State.SUCCEEDED and epochs != list(range(1, job.epochs + 1)):
            yield f"job {job.id}: epochs {epochs}"
        if any(one.attempt > other.attempt for one, other in pairwise(metrics)):
            yield f"job {job.id}: a later attempt's figures come before an earlier one's"


def _kept_checkpoints(rows: _Rows) -> Iterable[str]:
    for job in rows.jobs.values():
        flags = Counter(
            flag
            for row in rows.checkpoints[job.id]
            for flag in ("is_last", "is_best", "is_final", "complete")
            if getattr(row, flag)
        )
        whole = flags["is_last"] == flags["is_final"] == 1 and flags["is_best"] <= 1
        if job.state is State.SUCCEEDED and not whole:
            yield f"job {job.id}: {dict(flags)}"


def _preempted_without_loss(rows: _Rows) -> Iterable[str]:
    for job_id, attempts in rows.attempts.items():
        for one, other in pairwise(attempts):
            begins = other.first_step
            if one.preempted_for is not None and begins is not None and begins < one.last_step:
                yield f"job {job_id}: attempt {one.number} stopped at {one.last_step}, not {begins}"


_INVARIANTS: dict[str, Callable[[_Rows], Iterable[str]]] = {
    "every job terminal or waiting": _ended,
    "one live attempt per job": _one_live_attempt,
    "attempts monotone": _monotone,
    "every move allowed, each once": _valid_moves,
    "curves without gap or overlap": _whole_curves,
    "last, best and final kept once": _kept_checkpoints,
    "no step lost to a pre-emption": _preempted_without_loss,
}


def _differences(drill: Campaign, rows: _Rows, undisturbed: dict[int, Record]) -> Iterable[str]:
    for job_id, kind in drill.work.accepted.items():
        if job_id in rows.jobs and rows.jobs[job_id].state is State.SUCCEEDED:
            try:
                difference = first_difference(
                    undisturbed[kind], read_record(drill.work.store, job_id)
                )
            except VersemillError as error:
                difference = str(error)
            if difference:
                yield f"job {job_id}: {difference}"


def _leftovers(drill: Campaign, rows: _Rows) -> Iterable[str]:
    if rows.stray_chunks:
        yield f"{rows.stray_chunks} chunks of no checkpoint"
    for member in drill.fleet:
        if member.exits != [0]:
            yield f"worker {member.name} ended with exit code {member.exits}"
        if descendants := member.descendants():
            yield f"processes of worker {member.name}: {descendants}"
        if files := [path.name for path in (member.home / "spool").glob("*")]:
            yield f"files of worker {member.name}: {files}"


def _recoveries(drill: Campaign, rows: _Rows) -> Iterable[float]:
    """Of attempts that were struck and lost, and whose job went straight on."""
    first: dict[tuple[int, int], Any] = {}
    for job_id, number, at in drill.forced_failures:
        first.setdefault((job_id, number), at)
    for (job_id, number), at in first.items():
        attempts = rows.attempts[job_id]
        if number >= len(attempts) or attempts[number - 1].outcome not in _LOST:
            continue
        after = [event for event in rows.moves(job_id) if event.at > at]
        if [event.to_state for event in after[:2]] == [State.QUEUED, State.RUNNING]:
            yield (after[1].at - at).total_seconds()


def _repetitions(rows: _Rows) -> Iterable[int]:
    for attempts in rows.attempts.values():
        for one, other in pairwise(attempts):
            if one.outcome in _LOST and one.last_step is not None and other.first_step is not None:
                yield max(0, one.last_step - other.first_step)


def _tracebacks(log: str) -> Iterable[str]:
    """The last line of each, in which numbers do not matter."""
    for block in re.findall(r"^Traceback.*?^(?=\w)(?!Traceback)[^\n]+", log, re.M | re.S):
        yield re.sub(r"\d+", "N", block.splitlines()[-1])[:120]


def report(drill: Campaign, found: Findings, *, seconds: float) -> list[str]:
    """The findings, line by line."""
    faults = ", ".join(f"{name} {count}" for name, count in drill.faults.most_common())
    commits = ", ".join(f"{name} {count}" for name, count in sorted(drill.commits.items()))
    starts = sum(member.starts for member in drill.fleet)
    return [
        f"faults      {sum(drill.faults.values())} in {seconds:.0f} s: {faults}",
        f"at commits  {sum(drill.commits.values())}: {commits or 'none'}",
        f"workers     {len(drill.fleet)}, started {starts} times",
        f"jobs        accepted {found.accepted} · finished {found.finished} · "
        f"lost {len(found.lost)} · refused {drill.work.refused} (told so) · "
        f"given up and retried {drill.given_up}",
        f"attempts    {found.attempts} · doubled {len(found.doubled)} · "
        f"pre-empted {found.preempted}",
        f"recovery    {_figures(found.recovery, ' s')}",
        f"repeated    {_figures(found.repeated, ' steps')}",
        *(f"invariant   {name}: {_verdict(where)}" for name, where in found.broken.items()),
        *(f"traceback   {count} × {line}" for line, count in found.tracebacks.most_common()),
    ]


def _figures(values: list[Any], unit: str) -> str:
    if not values:
        return "nothing was lost that could tell"
    ranked = sorted(values)
    high = ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))]
    return f"p50 {median(ranked):.3g}{unit} · p99 {high:.3g}{unit} ({len(ranked)} lost attempts)"


def _verdict(where: list[str]) -> str:
    if not where:
        return "holds"
    more = f"; and {len(where) - _SHOWN} more" if len(where) > _SHOWN else ""
    return f"BROKEN: {'; '.join(where[:_SHOWN])}{more}"
