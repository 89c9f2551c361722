"""Small jobs that train in a moment, for tests of the training core."""

from __future__ import annotations

import itertools
import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

import versemill_plugins
from versemill.checkpoints import file as checkpoint_file
from versemill.checkpoints.file import Checkpoint
from versemill.checkpoints.state import TrainingState
from versemill.config.job import ModelOptions, TrainingOptions
from versemill.nn.machine import KernelPlan
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.plugins.run_events import EpochReport, Finished
from versemill.text.splitting import Parts
from versemill.training.run import Training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from versemill.config.job import JobConfig
    from versemill.generation.model import TrainedModel
    from versemill.plugins.run_events import Event

REGISTRY = Registry([versemill_plugins])


def verse(seed: int, length: int) -> str:
    """Words over a few letters, with lines: something that can be learned a little."""
    draw = random.Random(seed)
    words = [draw.choice(["la", "do", "remi", "sol", "ti\n"]) for _ in range(length)]
    return " ".join(words)[:length]


PARTS = Parts(verse(1, 150) + "xyz" + verse(5, 150), (verse(2, 80), verse(3, 60)), (verse(4, 50),))


def config(*, registry: Registry = REGISTRY, **tables: Any) -> JobConfig:
    """A small job; `tables` of a job file go over the ones here."""
    base: dict[str, dict[str, Any]] = {
        # From the options' own defaults, whatever the recipe says.
        "model": asdict(ModelOptions(hidden_size=10, embedding_size=6)),
        "training": asdict(
            TrainingOptions(epochs=3, batch_size=4, window=12, report_every=2, seed=5)
        ),
        "generation": {"length": 12, "lines": 0},
    }
    table: dict[str, Any] = {"prefixes": ["la", "?"], **base, **tables}
    for section, values in base.items():
        table[section] = {**values, **tables.get(section, {})}
    return resolve(table, registry)


def plan(dtype: str = "float32") -> KernelPlan:
    return KernelPlan.current(dtype=dtype, threads=1)


def training(
    job: JobConfig,
    parts: Parts = PARTS,
    *,
    dtype: str = "float32",
    state: TrainingState | Checkpoint | None = None,
    **settings: Any,
) -> Training:
    if isinstance(state, Checkpoint):
        state = TrainingState.from_checkpoint(state)
    return Training(parts, job, REGISTRY, plan=plan(dtype), state=state, **settings)


def finish(run: Training) -> Finished:
    """Runs to the end."""
    *_, last = run
    assert isinstance(last, Finished)
    return last


def reports(run: Training) -> list[EpochReport]:
    """The reports of a run to its end."""
    return [event for event in run if isinstance(event, EpochReport)]


def trained(job: JobConfig, parts: Parts = PARTS, *, dtype: str = "float32") -> TrainedModel:
    run = training(job, parts, dtype=dtype)
    finish(run)
    return run.trained()


def take(run: Training, count: int) -> list[Event]:
    """The first `count` events of a run."""
    return list(itertools.islice(run, count))


def through_file(state: TrainingState, folder: Path) -> TrainingState:
    """A state after being written and read back."""
    path = folder / "checkpoint.safetensors"
    checkpoint_file.write(state.to_checkpoint(), path)
    return TrainingState.from_checkpoint(checkpoint_file.read(path))


def same_tensors(one: TrainingState, other: TrainingState) -> bool:
    """Whether the checkpoints of two states hold the same tensors, bit for bit."""
    ours, theirs = one.to_checkpoint().tensors, other.to_checkpoint().tensors
    return ours.keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[name]) for name, tensor in ours.items()
    )


def without_speed(events: Iterator[Event] | list[Event]) -> list[tuple[Any, ...]]:
    """The events but for what depends on the clock."""
    clocked = {"characters_per_second", "seconds_left"}
    return [
        (type(e).__name__, *((k, v) for k, v in sorted(vars(e).items()) if k not in clocked))
        for e in events
    ]
