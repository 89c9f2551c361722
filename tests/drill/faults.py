"""Everything the drill does to its workers, its servers and its disk, and what people do to jobs.

A fault is a function of the drill. It returns what it has done, in words, or None where it could
do nothing just now. What lasts a while is undone later by the drill's `later`.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

import psutil

from drill import commit_faults
from drill.stacks import Servers, SQLite
from drill.workload import ADMIN, OWNERS
from versemill.errors import DatabaseError, UnknownNameError
from versemill.jobs import celery_client, service
from versemill.jobs.states import LEASE_SECONDS, Priority, State

if TYPE_CHECKING:
    from drill.campaign import Campaign
    from drill.fleet import Member, Trainer
    from versemill.jobs.service import Principal
    from versemill.jobs.storage.unit_of_work import Store

MOVES = (
    "queued to running",
    "running to succeeded",
    "running to queued",
    "running to paused",
    "running to cancelled",
    "None to None",  # an event that moves nothing: where it resumes, for one
)
"""The moves that workers make, as events name them."""

PROMPTS = {
    "queued to running": service.request_yield,
    "running to queued": service.request_yield,
    "running to paused": service.request_pause,
    "running to cancelled": service.request_cancel,
    "None to None": service.request_yield,
}
"""What to ask of a running job so that its worker soon makes the move."""


def kill_trainer(drill: Campaign) -> str | None:
    """SIGKILL, in whatever it is doing."""
    if (found := _any_trainer(drill)) is None:
        return None
    member, trainer = found
    drill.note_forced_failure(trainer.job_id, trainer.attempt)
    with contextlib.suppress(psutil.Error):
        trainer.process.kill()
    return f"trainer of job {trainer.job_id} on {member.name} killed"


def freeze_trainer(drill: Campaign) -> str | None:
    """SIGSTOP for some seconds."""
    if (found := _any_trainer(drill)) is None:
        return None
    member, trainer = found
    seconds = drill.draw.uniform(0.5, 8)
    with contextlib.suppress(psutil.Error):
        trainer.process.suspend()
    drill.later(seconds, partial(_resume, trainer.process))
    return f"trainer of job {trainer.job_id} on {member.name} frozen for {seconds:.1f} s"


def kill_worker(drill: Campaign) -> str | None:
    """SIGKILL; it comes back under the same name."""
    if (member := _any_member(drill)) is None:
        return None
    _note_all_trainers(drill, member)
    member.kill()
    return f"worker {member.name} killed, {_restart_later(drill, member)}"


def freeze_worker(drill: Campaign) -> str | None:
    """SIGSTOP for less than a lease: thawed in time, it has lost nothing."""
    if (member := _any_member(drill)) is None:
        return None
    seconds = drill.draw.uniform(1, 12)
    member.freeze()
    drill.later(seconds, member.thaw)
    return f"worker {member.name} frozen for {seconds:.1f} s"


def freeze_worker_for_long(drill: Campaign) -> str | None:
    """SIGSTOP for more than a lease: its jobs go to others, and it finds itself fenced off."""
    if (member := _any_member(drill)) is None:
        return None
    seconds = LEASE_SECONDS + drill.draw.uniform(6, 16)
    _note_all_trainers(drill, member)
    member.freeze()
    member.stays_down = True
    drill.later(seconds, partial(_thaw, member))
    return f"worker {member.name} frozen for {seconds:.0f} s, longer than its lease"


def end_worker(drill: Campaign) -> str | None:
    """SIGTERM: it hands over."""
    if (member := _any_member(drill)) is None:
        return None
    member.end()
    return f"worker {member.name} told to end, {_restart_later(drill, member)}"


def end_worker_at_once(drill: Campaign) -> str | None:
    """A second SIGTERM in the middle of the hand-over."""
    if (member := _any_member(drill)) is None:
        return None
    _note_all_trainers(drill, member)
    member.end()
    drill.later(drill.draw.uniform(0.05, 1), member.end)
    return f"worker {member.name} told to end twice, {_restart_later(drill, member)}"


def drain_worker(drill: Campaign) -> str | None:
    """`versemill worker drain`."""
    if (member := _any_member(drill)) is None:
        return None
    try:
        drained = service.drain(drill.work.store, member.name, ADMIN)
    except (DatabaseError, UnknownNameError):
        return None
    if member.pid not in [worker.pid for worker in drained]:
        return None  # it was the one before, which was killed and is still listed
    return f"worker {member.name} drained, {_restart_later(drill, member)}"


def kill_in_commit(drill: Campaign) -> str | None:
    """SIGKILL right before or after a COMMIT that moves a job."""
    act = drill.draw.choice([commit_faults.KILL_BEFORE, commit_faults.KILL_AFTER])
    return _order(drill, drill.draw.choice(MOVES), act)


def kill_in_checkpoint(drill: Campaign) -> str | None:
    """SIGKILL between the chunks of a checkpoint, or as it is completed."""
    act = drill.draw.choice([commit_faults.KILL_BEFORE, commit_faults.KILL_AFTER])
    return _order(drill, drill.draw.choice([commit_faults.CHUNK, commit_faults.COMPLETE]), act)


def freeze_in_commit(drill: Campaign) -> str | None:
    """SIGSTOP with a transaction open, and all its locks held."""
    places = [*MOVES, commit_faults.CHUNK, commit_faults.COMPLETE, None]
    return _order(drill, drill.draw.choice(places), commit_faults.FREEZE)


def fill_disk_of_trainer(drill: Campaign) -> str | None:
    """No room for its checkpoints."""
    if (found := _any_trainer(drill)) is None:
        return None
    member, trainer = found
    seconds = drill.draw.uniform(1, 5)
    member.limit_files(drill.draw.choice([100, 20_000]), trainer.process)
    drill.later(seconds, partial(member.limit_files, None, trainer.process))
    return f"no room for the trainer of job {trainer.job_id} for {seconds:.1f} s"


def fill_disk_of_worker(drill: Campaign) -> str | None:
    """No room for what it spools, and on SQLite for what it commits."""
    if (member := _any_member(drill)) is None:
        return None
    seconds = drill.draw.uniform(1, 5)
    processes = member.own_process()
    member.limit_files(drill.draw.choice([100, 40_000]), *processes)
    drill.later(seconds, partial(_lift_limit, member, processes))
    return f"no room for worker {member.name} for {seconds:.1f} s"


def _lift_limit(member: Member, processes: list[psutil.Process]) -> None:
    """To the processes, and to what they have started meanwhile: a limit is inherited."""
    member.limit_files(None, *processes, *member.descendants())


def change_requests(drill: Campaign) -> str | None:
    """People pause, cancel or let yield a job that runs or waits, and later resume it."""
    jobs = drill.work.jobs(State.RUNNING) or drill.work.jobs(State.QUEUED)
    if not jobs:
        return None
    job = drill.draw.choice(jobs)
    what, requests = drill.draw.choice(
        [
            ("paused", [service.request_pause]),
            ("cancelled", [service.request_cancel]),
            ("told to yield", [service.request_yield]),
            ("paused, then cancelled", [service.request_pause, service.request_cancel]),
        ]
    )
    if not all(drill.work.ask(request, job) for request in requests):
        return None
    drill.later(drill.draw.uniform(0.5, 6), drill.resume_and_retry)
    return f"job {job.id} {what}"


def _set_urgent(store: Store, job_id: int, principal: Principal) -> None:
    service.set_priority(store, job_id, Priority.URGENT, principal)


def make_urgent(drill: Campaign) -> str | None:
    """A waiting job becomes urgent, and takes the place of one that runs."""
    jobs = [job for job in drill.work.jobs(State.QUEUED) if job.priority is not Priority.URGENT]
    if not jobs:
        return None
    job = drill.draw.choice(jobs)
    if not drill.work.ask(_set_urgent, job):
        return None
    return f"job {job.id} made urgent"


def make_urgent_and_cancel(drill: Campaign) -> str | None:
    """A job that has asked for a place no longer wants it."""
    jobs = drill.work.jobs(State.QUEUED)
    if not jobs:
        return None
    job = drill.draw.choice(jobs)
    if not drill.work.ask(_set_urgent, job):
        return None
    cancel = partial(drill.work.ask, service.request_cancel, job)
    drill.later(drill.draw.uniform(0.2, 3), cancel)
    drill.later(drill.draw.uniform(4, 8), drill.resume_and_retry)
    return f"job {job.id} made urgent, and cancelled soon"


def limit_owner(drill: Campaign) -> str | None:
    """Somebody may run only so many jobs for a while."""
    owner, most = drill.draw.choice(OWNERS), drill.draw.choice([0, 1])
    if not drill.work.limit(owner, most):
        return None

    def lift() -> None:
        while not drill.work.limit(owner, None):
            time.sleep(0.2)

    drill.later(drill.draw.uniform(1, 8), lift)
    return f"{owner} limited to {most} running"


def lock_sqlite(drill: Campaign) -> str | None:
    """Somebody else is writing, for a while."""
    assert isinstance(drill.stack, SQLite)
    seconds = drill.draw.uniform(0.5, 8)
    try:
        holder = drill.stack.lock()
    except OSError:
        return None
    drill.later(seconds, holder.close)
    return f"database locked for {seconds:.1f} s"


def terminate_backends(drill: Campaign) -> str | None:
    """PostgreSQL ends every connection."""
    assert isinstance(drill.stack, Servers)
    return f"{drill.stack.terminate_backends()} connections to PostgreSQL ended"


def restart_postgres(drill: Campaign) -> str | None:
    """PostgreSQL ends in an orderly way and starts again."""
    return _postgres_away(drill, kill=False)


def kill_postgres(drill: Campaign) -> str | None:
    """PostgreSQL is killed, recovers from its log, and is there again."""
    return _postgres_away(drill, kill=True)


def lose_answer(drill: Campaign) -> str | None:
    """The connection breaks after COMMIT was sent: it worked, and nobody was told."""
    places = [*MOVES, commit_faults.CHUNK, commit_faults.COMPLETE, None]
    return _order(drill, drill.draw.choice(places), commit_faults.LOSE)


def flush_broker(drill: Campaign) -> str | None:
    """Redis forgets everything."""
    assert isinstance(drill.stack, Servers)
    drill.stack.flush()
    return "broker flushed"


def kill_broker(drill: Campaign) -> str | None:
    """Redis is killed, and comes back with what it had written, or empty."""
    assert isinstance(drill.stack, Servers)
    if not drill.stack.up(drill.stack.valkey):
        return None
    empty = drill.draw.random() < 0.5
    seconds = drill.draw.uniform(0.5, 6)
    drill.stack.take_away(drill.stack.valkey, how="empty" if empty else "kill")
    drill.later(seconds, partial(drill.stack.bring_back, drill.stack.valkey))
    return f"broker killed, back in {seconds:.1f} s{', empty' if empty else ''}"


def multiply_messages(drill: Campaign) -> str | None:
    """Messages arrive many times, and not in order."""
    assert isinstance(drill.stack, Servers)
    wake = celery_client.wake(drill.work.settings)
    for _ in range(5):
        wake()
    drill.stack.reorder_messages(copies=4)
    return "messages doubled and reordered"


ON_ALL_STACKS = (
    *(
        kill_trainer,
        kill_trainer,
        freeze_trainer,
        fill_disk_of_trainer,
        change_requests,
        change_requests,
    ),
    *(kill_worker, freeze_worker, freeze_worker_for_long, end_worker, end_worker_at_once),
    *(make_urgent, make_urgent, make_urgent_and_cancel, limit_owner),
    *(drain_worker, kill_in_commit, kill_in_commit, kill_in_commit, kill_in_checkpoint),
    *(kill_in_checkpoint, freeze_in_commit, freeze_in_commit, fill_disk_of_worker),
)
FAULTS = {
    "sqlite": (*ON_ALL_STACKS, lock_sqlite, lock_sqlite),
    "servers": (
        *(*ON_ALL_STACKS, terminate_backends, restart_postgres, kill_postgres, lose_answer),
        *(lose_answer, flush_broker, kill_broker, multiply_messages),
    ),
}
"""By stack. A deck: each comes once before any comes again."""


def _any_member(drill: Campaign) -> Member | None:
    """A worker that nothing is being done to; one at least is always left alone."""
    up = [member for member in drill.fleet if member.running and not member.stays_down]
    return drill.draw.choice(up) if len(up) > 1 else None


def _any_trainer(drill: Campaign) -> tuple[Member, Trainer] | None:
    up = [member for member in drill.fleet if member.running and not member.stays_down]
    found = [(member, trainer) for member in up for trainer in member.trainers()]
    return drill.draw.choice(found) if found else None


def _note_all_trainers(drill: Campaign, member: Member) -> None:
    for trainer in member.trainers():
        drill.note_forced_failure(trainer.job_id, trainer.attempt)


def _restart_later(drill: Campaign, member: Member) -> str:
    """Has the worker started again under its name."""
    seconds = drill.draw.uniform(0, 6)
    member.stays_down = True
    drill.later(seconds, partial(_start_when_gone, drill, member))
    return f"back in {seconds:.1f} s"


def _start_when_gone(drill: Campaign, member: Member) -> None:
    """A hand-over may take a while."""
    if member.running:
        drill.later(0.5, partial(_start_when_gone, drill, member))
    else:
        member.start()


def _thaw(member: Member) -> None:
    member.thaw()
    member.stays_down = False


def _order(drill: Campaign, at: str | None, act: str) -> str | None:
    """A worker causes a fault in itself; later it is started again, whether or not it has happened.

    Meanwhile other things may happen to it too.
    """
    if (member := _any_member(drill)) is None or member.ordered:
        return None
    seconds = drill.draw.uniform(4, 12)
    member.order(at, act)
    drill.later(seconds, partial(_undo_order, drill, member, act, at))
    its_own = [job for job in drill.work.jobs(State.RUNNING) if job.worker == member.name]
    if its_own and at in PROMPTS:
        drill.work.ask(PROMPTS[at], drill.draw.choice(its_own))
        drill.later(seconds, drill.resume_and_retry)
    return f"worker {member.name} to be {act} at {at or 'any commit'}"


def _undo_order(drill: Campaign, member: Member, act: str, at: str | None) -> None:
    if member.withdraw():
        drill.count(f"{act}: {at or 'any'}")
    if act == commit_faults.FREEZE:
        member.thaw()
    if not member.stays_down:
        member.start()


def _postgres_away(drill: Campaign, *, kill: bool) -> str | None:
    assert isinstance(drill.stack, Servers)
    if not drill.stack.up(drill.stack.postgres):
        return None
    seconds = drill.draw.uniform(0.1, 6)
    drill.stack.take_away(drill.stack.postgres, how="kill" if kill else "stop")
    drill.later(seconds, partial(drill.stack.bring_back, drill.stack.postgres))
    return f"PostgreSQL {'killed' if kill else 'stopped'}, back in {seconds:.1f} s"


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.resume()
