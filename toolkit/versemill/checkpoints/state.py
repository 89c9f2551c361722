"""The state of a run between two steps, and how a checkpoint holds it.

Only this module knows the names in a checkpoint. It is in this folder and not in training, because
generation, a lower folder than training, reads it too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from versemill.checkpoints.file import Checkpoint
from versemill.config.job import JobConfig
from versemill.errors import CheckpointError, ConfigError
from versemill.nn.machine import KernelPlan
from versemill.phrases import shown
from versemill.plugins.record import PluginRecord, records_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from torch import Tensor

    from versemill.config.validation import JSONValue

T = TypeVar("T")

_GROUPS = ("model", "best", "optimizer", "state")

RECORDED = ("cell", "sampler", "tokenizer")
"""Kinds of the plugins that a state records, in this order: those that decide its numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingState:
    """All that a run needs to continue, and all that a model needs to generate text.

    The tensors belong to the state: copy them before you change them.

    Attributes:
        weights: the network's parameters and buffers by name.
        best_weights: those of `best_step`; empty before the first validation.
        optimizer: the optimizer's tensors by name.
        carried: the cells' states after the last step, a tuple of tensors [B, …] for each layer;
            empty where cells have no state.
        losses: mean nats per id of each step of the epoch that is not reported yet, float64
            [position].
        step: optimizer steps done.
        epoch: epochs reported.
        position: steps done in the epoch that is not reported yet.
        best_nats: held-out nats per character of the best validation; None before the first.
        best_epoch: epoch of the best validation; 0 before the first.
        best_step: step of the best validation; 0 before the first.
        validations_without_improvement: since the best one.
        config: the job.
        plan: how the run computes.
        vocabulary: the tokenizer, as its `to_json` gives it.
        content_hash: SHA-256 of the job's text; empty in checkpoints that recorded none.
        text_hash: SHA-256 of the training text.
        unseen_share: `perplexity.unseen_share` of the training text.
        plugins: records of cell, sampler and tokenizer, in this order.
    """

    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    carried: tuple[tuple[Tensor, ...], ...]
    losses: Tensor
    step: int
    epoch: int
    position: int
    best_nats: float | None
    best_epoch: int
    best_step: int
    validations_without_improvement: int
    config: JobConfig
    plan: KernelPlan
    vocabulary: Mapping[str, JSONValue]
    content_hash: str
    text_hash: str
    unseen_share: float
    plugins: tuple[PluginRecord, ...]

    def to_checkpoint(self) -> Checkpoint:
        """The state as tensors by name and JSON values; equal states give equal files.

        No tensor is copied. The best weights are left out if they equal the weights.
        """
        tensors = {f"model.{name}": tensor for name, tensor in self.weights.items()}
        if self.best_step != self.step:
            tensors |= {f"best.{name}": tensor for name, tensor in self.best_weights.items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.items()}
        for layer, state in enumerate(self.carried):
            tensors |= {f"state.{layer}.{i}": tensor for i, tensor in enumerate(state)}
        tensors["losses"] = self.losses
        return Checkpoint(tensors, self._meta())

    def _meta(self) -> dict[str, JSONValue]:
        # Files are compared by their bytes: names and order stay as in version 0.1.0.
        return {
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "best_nats": self.best_nats,
            "best_epoch": self.best_epoch,
            "best_step": self.best_step,
            "disappointments": self.validations_without_improvement,
            "config": self.config.to_json(),
            "plan": self.plan.to_json(),
            "vocabulary": dict(self.vocabulary),
            "content_hash": self.content_hash,
            "text_hash": self.text_hash,
            "unseen": self.unseen_share,
            "plugins": records_to_json(self.plugins),
        }

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """Inverse of `to_checkpoint`; entries that older checkpoints lack mean what they did then.

        Raises:
            CheckpointError: an entry is missing or malformed. Whether the tensors fit a network
                is not checked here.
        """
        _refuse_other_tensors(checkpoint)
        read = _Metadata(checkpoint.meta)
        config = read.config()
        best_nats = None if checkpoint.meta.get("best_nats") is None else read.number("best_nats")
        weights = checkpoint.part("model")
        position = read.count("position")
        return cls(
            weights=weights,
            best_weights=checkpoint.part("best") or ({} if best_nats is None else weights),
            optimizer=checkpoint.part("optimizer"),
            carried=_carried(checkpoint.part("state")),
            losses=_losses(checkpoint, position),
            step=read.count("step"),
            epoch=read.count("epoch"),
            position=position,
            best_nats=best_nats,
            best_epoch=read.count("best_epoch"),
            best_step=read.count("best_step"),
            validations_without_improvement=read.count("disappointments"),
            config=config,
            plan=KernelPlan.from_json(read.table("plan")),
            vocabulary=read.table("vocabulary"),
            content_hash=read.text("content_hash", default=""),
            text_hash=read.text("text_hash"),
            unseen_share=read.number("unseen"),
            plugins=read.plugins(config),
        )


class _Metadata:
    """A checkpoint's metadata, read entry by entry; each raises `CheckpointError`."""

    def __init__(self, values: Mapping[str, JSONValue]) -> None:
        self._values = values

    def count(self, name: str) -> int:
        value = self._of_type(name, int, "a whole number")
        if value < 0:
            raise _malformed(name, value, "0 or more")
        return value

    def number(self, name: str) -> float:
        value = self._of_type(name, float, "a number")
        if not math.isfinite(value):
            raise _malformed(name, value, "a finite number")
        return value

    def text(self, name: str, *, default: str | None = None) -> str:
        if default is not None and name not in self._values:
            return default
        return self._of_type(name, str, "a text")

    def table(self, name: str) -> dict[str, JSONValue]:
        return self._of_type(name, dict, "a table")

    def config(self) -> JobConfig:
        try:
            return JobConfig.from_json(self.table("config"))
        except ConfigError as error:
            raise CheckpointError(f"the checkpoint's configuration is malformed: {error}") from None

    def plugins(self, config: JobConfig) -> tuple[PluginRecord, ...]:
        """Old records leave out kind and options: the latter are in the configuration."""
        options = (config.cell_options, config.sampler_options, config.tokenizer_options)
        stored = self._values.get("plugins")
        try:
            entries = [
                {"kind": kind, "options": given, **entry}
                for kind, given, entry in zip(
                    RECORDED, options, cast("Sequence[dict[str, JSONValue]]", stored), strict=True
                )
            ]
            records = tuple(map(PluginRecord.from_json, entries))
        except (TypeError, ValueError):
            records = ()
        if tuple(record.kind for record in records) != RECORDED:
            raise CheckpointError("the checkpoint's list of plugins is malformed")
        return records

    def _of_type(self, name: str, wanted: type[T], words: str) -> T:
        value = self._values.get(name)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise _malformed(name, value, words)
        return value


def _malformed(name: str, value: object, allowed: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint's metadata is malformed: {name} is {shown(value)}, it must be {allowed}"
    )


def _refuse_other_tensors(checkpoint: Checkpoint) -> None:
    for name in checkpoint.tensors:
        if name != "losses" and name.partition(".")[0] not in _GROUPS:
            raise CheckpointError(f"the checkpoint holds an unknown tensor, {shown(name)}")


def _losses(checkpoint: Checkpoint, position: int) -> Tensor:
    losses = checkpoint.tensors.get("losses")
    if losses is None or losses.shape != (position,):
        got = "none" if losses is None else f"shape {tuple(losses.shape)}"
        raise CheckpointError(
            f"the checkpoint does not fit its own metadata: losses of {position:,} steps are "
            f"needed, it has {got}"
        )
    return losses


def _carried(tensors: Mapping[str, Tensor]) -> tuple[tuple[Tensor, ...], ...]:
    """From `LAYER.INDEX` to a tuple for each layer."""
    layers: list[tuple[Tensor, ...]] = []
    while layer := _layer(tensors, len(layers)):
        layers.append(layer)
    if sum(map(len, layers)) != len(tensors):
        raise CheckpointError("the checkpoint does not fit: some states of its cells are missing")
    return tuple(layers)


def _layer(tensors: Mapping[str, Tensor], layer: int) -> tuple[Tensor, ...]:
    found: list[Tensor] = []
    while (tensor := tensors.get(f"{layer}.{len(found)}")) is not None:
        found.append(tensor)
    return tuple(found)
