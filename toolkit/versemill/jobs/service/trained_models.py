"""From a file or a job to a model that writes lyrics."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from versemill.errors import CheckpointError
from versemill.files import safe_component
from versemill.jobs import service
from versemill.jobs.execution.checkpoints import read_checkpoint
from versemill.jobs.storage.unit_of_work import Store
from versemill.plugins.registry import Registry
from versemill.settings import Settings, bound_spinning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versemill.generation.model import TrainedModel
    from versemill.jobs.views import CheckpointView, JobView

SUFFIX = ".safetensors"


def load(path_or_job: str | int | os.PathLike[str], *, at: str | int = "best") -> TrainedModel:
    """A trained model, ready to write and to be measured.

    Args:
        path_or_job: an exported checkpoint (a path, or text ending in `.safetensors`), or a job:
            its id, its name or `@last`, looked up in the configured database.
        at: which weights: `best` on validation (the latest where there was no validation),
            `last`, or the step of a checkpoint that a job still has.

    Raises:
        UnknownNameError: no such job, or a plugin it needs is not installed.
        CheckpointError: no such checkpoint, or it is damaged.
        DatabaseError: the database cannot be used.
    """
    if not isinstance(path_or_job, int) and (
        not isinstance(path_or_job, str) or path_or_job.endswith(SUFFIX)
    ):
        try:
            path = Path(os.fspath(path_or_job)).expanduser()
        except RuntimeError as error:  # `~` of somebody who has no home
            raise CheckpointError(f"{path_or_job!s} is not a usable path: {error}") from None
        return _model(path, Registry.discover(), best=at == "best")
    settings = Settings.from_environment()
    store = Store.open(settings.database_url)
    try:
        job = service.find(store, str(path_or_job), service.Principal(settings.user))
        return load_job(store, job, Registry.discover(), at=at)
    finally:
        store.close()


def load_job(
    store: Store, job: JobView, registry: Registry, *, at: str | int = "best"
) -> TrainedModel:
    """The model of a job in an open store; see `load`."""
    kept = service.details(store, job.id).checkpoints
    chosen = choose_checkpoint(job, kept, at)
    with tempfile.TemporaryDirectory(prefix="versemill-") as folder:
        path = Path(folder) / safe_component(f"job-{job.id}-step-{chosen.step}{SUFFIX}")
        with path.open("wb") as file:
            save_checkpoint(store, chosen, file)
        return _model(path, registry, best=at == "best")


def _model(path: Path, registry: Registry, *, best: bool) -> TrainedModel:
    bound_spinning()
    from versemill.checkpoints.file import read  # torch, which copying bytes does not need
    from versemill.generation.model import TrainedModel

    return TrainedModel.from_checkpoint(read(path), registry, best=best)


def save_checkpoint(store: Store, chosen: CheckpointView, file: BinaryIO) -> None:
    """Writes the bytes of a stored checkpoint into a file, verifying them on the way.

    Raises:
        CheckpointError: it is gone or damaged.
        OSError: the file cannot be written.
    """
    file.writelines(read_checkpoint(store, chosen.id))


def choose_checkpoint(
    job: JobView, kept: Sequence[CheckpointView], at: str | int
) -> CheckpointView:
    """The checkpoint meant by `best`, `last` or a step.

    Raises:
        CheckpointError: the job has none yet, or none of that step.
    """
    if not kept:
        raise CheckpointError(
            f"job {job.id} ({job.name}) is {job.state_shown} and has no checkpoint yet; "
            "one is written every minute of training and at its end"
        )
    by_step = sorted(kept, key=lambda checkpoint: (checkpoint.step, checkpoint.id))
    if at in {"best", "last"}:
        named = [c for c in by_step if at in c.kinds]
        # A run without validation has no best, one that was cut short perhaps no last.
        return (named or by_step)[-1]
    found = [c for c in by_step if str(c.step) == str(at)]
    if not found:
        steps = ", ".join(f"{c.step} ({', '.join(c.kinds)})" for c in by_step)
        raise CheckpointError(
            f"job {job.id} ({job.name}) has no checkpoint at step {at}; "
            f"write best, last or one of: {steps}"
        )
    return found[-1]
