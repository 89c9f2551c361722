"""What jobs really take of a GPU's memory corrects what later ones are admitted with.

Attempts of the same shape (`Job.shape`) take the same. What an attempt has taken is known once it
has been through an epoch: evaluating and writing take other amounts than a step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import exists, select, update

from versemill.jobs.devices import CPU, GPU, Device
from versemill.jobs.states import LEASE_SECONDS, FailureClass, State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.plugin_fit import keep_requirements, required
from versemill.jobs.storage.tables import Attempt, Job, MemorySeen, Metric, Worker
from versemill.training.gpu_memory import stepped

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from versemill.jobs.devices import DeviceNeeds
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork

MARGIN = 1.1
"""How much more a job is admitted with than others of its shape have taken."""

RAISE = 1.5
"""How much more a job is admitted with than when it ran out of memory."""

MOST_OF_A_GPU = 0.95
"""A job that needs more than this share of the largest GPU is admitted with this share."""


def corrected(session: Session, needs: DeviceNeeds, shape: str | None) -> DeviceNeeds:
    """The needs of a job, with the memory that others of its shape have taken."""
    if shape is None or needs.kind == CPU:
        return needs
    seen = session.scalar(select(MemorySeen.bytes_used).where(MemorySeen.shape == shape))
    return needs if seen is None else replace(needs, memory=_need(seen))


def learn(store: Store, job_id: int, number: int, device: Device) -> None:
    """Corrects what waiting jobs of the same shape need, after an attempt on a GPU has ended.

    Args:
        store: where they are.
        job_id: the job of the attempt.
        number: the attempt's.
        device: on which it was.
    """
    if device.kind != GPU:
        return
    with store.reading() as session:
        shape, used = session.execute(
            select(Job.shape, Attempt.memory_used)
            .join(Attempt, Attempt.job_id == Job.id)
            .where(Job.id == job_id, Attempt.number == number)
        ).one()
        if shape is None or used is None:
            return
        seen = session.scalar(select(MemorySeen.bytes_used).where(MemorySeen.shape == shape))
        whole_epoch = session.scalar(
            select(Metric.step).where(Metric.job_id == job_id, Metric.attempt == number).limit(1)
        )
    if used <= (seen or 0) or (seen is None and whole_epoch is None):
        return
    with store.unit_of_work() as uow:
        uow.lock("claims")  # one at a time, and not while somebody starts one of those jobs
        row = {"shape": shape, "bytes_used": used, "seen_at": uow.scalar(select(db_now()))}
        uow.put(MemorySeen, [row], key=("shape",))
        if seen is None or _need(seen) != _need(used):
            _correct_waiting(uow, shape, _need(used))
        uow.commit()


def raised(
    uow: UnitOfWork, job_id: int, device: Device, had: int, used: int | None
) -> tuple[str, int] | None:
    """What a job requires that ran out of memory on a GPU: the same, and more memory.

    Args:
        uow: the transaction in which its attempt ends.
        job_id: the job.
        device: on which it ran out.
        had: bytes that it was admitted with.
        used: bytes that it had taken, if it has said so.

    Returns:
        For `Job.requirements`, and the bytes; None if it has had as good as all of the largest GPU.
    """
    largest = int(_largest_gpu(uow.session, device) * MOST_OF_A_GPU)
    if largest and had >= largest:
        return None
    memory = stepped(max(int(had * RAISE), _need(used or 0)))
    memory = min(memory, largest) if largest else memory
    plugins, needs = required(
        uow.session, uow.scalar(select(Job.requirements).where(Job.id == job_id))
    )
    return keep_requirements(uow, plugins, replace(needs, memory=memory)), memory


def _need(seen: int) -> int:
    return stepped(int(seen * MARGIN)) if seen else 0


def _correct_waiting(uow: UnitOfWork, shape: str, memory: int) -> None:
    """Changes what waiting jobs require; those that ran out of memory keep what they have got."""
    ran_out = exists().where(
        Attempt.job_id == Job.id, Attempt.failure == FailureClass.OUT_OF_MEMORY
    )
    waiting = (Job.state == State.QUEUED, Job.shape == shape, ~ran_out)
    kinds = uow.session.scalars(select(Job.requirements).where(*waiting).distinct()).all()
    for kind in kinds:
        plugins, needs = required(uow.session, kind)
        if needs.kind == CPU or needs.memory == memory:
            continue
        corrected = keep_requirements(uow, plugins, replace(needs, memory=memory))
        those = update(Job).where(*waiting, Job.requirements == kind)
        uow.execute(those.values(requirements=corrected))


def _largest_gpu(session: Session, own: Device) -> int:
    """Bytes of the largest GPU of all live workers, and of the one that it ran on."""
    alive = select(Worker.devices).where(Worker.seen_at >= db_now(-LEASE_SECONDS))
    found = [own]
    for devices in session.scalars(alive):
        found += [Device.from_json(device) for device in devices or ()]
    return max(device.memory or 0 for device in found)
