"""Checkpoints whose files are sound, but fit no model, or not this one."""

from __future__ import annotations

import dataclasses
import json
import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import versemill
import versemill_plugins
from damage import mutated, mutations
from small_runs import PARTS, REGISTRY, config, training
from versemill.checkpoints import file as checkpoint_file
from versemill.checkpoints.file import Checkpoint
from versemill.checkpoints.state import TrainingState
from versemill.errors import CheckpointError
from versemill.generation.model import TrainedModel
from versemill.nn.machine import KernelPlan
from versemill.plugins.hookspecs import hookimpl
from versemill.plugins.registry import Registry
from versemill.training.run import Training
from versemill_plugins.cells.gru import Gru

if TYPE_CHECKING:
    from versemill.plugins.hookspecs import Registrar

MIB = 1 << 20


def peak_memory() -> int:
    """The most bytes that this process has had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    run = Training(PARTS, config(), REGISTRY, plan=KernelPlan.current(threads=1))
    for _ in run:
        pass
    return run.state().to_checkpoint()


def changed(found: Checkpoint, **values: Any) -> Checkpoint:
    """With other settings: `section__key=value`, or an entry of the metadata."""
    meta = json.loads(json.dumps(found.meta))
    for name, value in values.items():
        place = meta
        *sections, key = name.split("__")
        for section in sections:
            place = place[section]
        place[key] = value
    return dataclasses.replace(found, meta=meta)


@pytest.mark.parametrize(
    "values",
    [
        {"config__model__hidden_size": 10**9},
        {"config__model__hidden_size": 10**5},
        {"config__model__hidden_size": 2**40},
        # So large that PyTorch cannot even say how large.
        {"config__model__hidden_size": 2**31 - 1, "config__model__embedding_size": 2**23},
        {"config__model__hidden_size": 2**31 - 1},
        {"config__model__layers": 10**9},
        {"config__model__layers": 2},
        {"config__model__embedding_size": 10**9},
        {"config__model__embedding_size": 2**63},
        {"config__cell": "rnn"},
        {"config__cell_options": {"nonsense": 1}},
        {"config__cell_options": 5},
        {"config__model": []},
        {"config__generation__decoders": ["temperature=1"] * 200_000},
        {"config__prefixes": ["la"] * 200_000},
        {"config__trackers": ["jsonl"] * 200_000},
        {"config": 5},
        {"config": None},
        {"vocabulary": []},
        {"vocabulary": {"characters": "abc" * 10**6, "unknown": True}},
        {"vocabulary": {"characters": "", "unknown": False}},
        {"unseen": "much"},
        {"unseen": 10**400},
        {"step": None},
        {"step": "x"},
    ],
    ids=lambda values: str(values)[:60],
)
def test_a_configuration_that_does_not_fit_is_refused_before_memory_is_taken(
    trained: Checkpoint, values: dict[str, Any]
) -> None:
    before = peak_memory()
    began = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        TrainedModel.from_checkpoint(changed(trained, **values), REGISTRY)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.monotonic() - began < 30
    assert peak_memory() - before < 256 * MIB


class ReadingCell(Gru):
    """One that cannot be made on the meta device, since it reads a value while it is made."""

    def __init__(self, input_size: int, hidden_size: int, *, tables: int = 0) -> None:
        self.largest = float(torch.zeros(1).max())
        self.tables = [torch.ones(1) for _ in range(tables)]
        super().__init__(input_size, hidden_size)
        for table in self.tables:
            torch.ones(hidden_size).add_(table)


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    tables: int = 0


class Reading:
    @hookimpl
    def versemill_register_cells(self, register: Registrar) -> None:
        register(
            "reading", f"{__name__}:ReadingCell", summary="reads a value", options=ReadingOptions
        )


STRANGERS = Registry([versemill_plugins, Reading()])
READING = {"config__cell": "reading", "config__cell_options": {}}


def test_a_cell_that_cannot_be_made_on_the_meta_device_is_loaded(trained: Checkpoint) -> None:
    model = TrainedModel.from_checkpoint(changed(trained, **READING), STRANGERS)
    assert model.generate("la") == TrainedModel.from_checkpoint(trained, REGISTRY).generate("la")


def test_such_a_cell_takes_no_more_memory_than_its_weights_justify(trained: Checkpoint) -> None:
    held = sum(weight.numel() for weight in trained.part("model").values())
    wide = dataclasses.replace(trained, tensors={**trained.tensors, "model.x": torch.zeros(30_000)})
    for found, values, reason in (
        (trained, {"config__model__hidden_size": 2**31 - 1}, f"but only {held:,} numbers"),
        (wide, {"config__model__hidden_size": 30_000}, "more memory than its weights take"),
        (trained, {"config__cell_options": {"tables": 10**9}}, "more weights than it has"),
    ):
        before = peak_memory()
        with pytest.raises(CheckpointError, match=reason):
            TrainedModel.from_checkpoint(changed(found, **{**READING, **values}), STRANGERS)
        assert peak_memory() - before < 256 * MIB


def test_weights_of_other_shapes_or_names_or_not_finite(trained: Checkpoint) -> None:
    name = "model.output_bias"
    bias = trained.tensors[name]
    for weights in (
        {name: bias[:-1]},
        {name: bias.unsqueeze(0)},
        {name: torch.full_like(bias, torch.nan)},
        {"model.more": bias},
    ):
        odd = Checkpoint({**trained.tensors, **weights}, trained.meta)
        with pytest.raises(CheckpointError):
            TrainedModel.from_checkpoint(odd, REGISTRY)


@pytest.mark.parametrize(
    "values",
    [
        {"step": None},
        {"position": "x"},
        {"position": 10**9},
        {"position": -1},
        {"step": -5},
        {"best_nats": "much"},
        {"config": 5},
        {"plan": []},
        {"plan__threads": 10**9},
        {"plan__threads": "many"},
        {"plan__dtype": 5},
    ],
    ids=lambda values: str(values)[:60],
)
def test_a_run_does_not_go_on_from_what_does_not_fit(
    trained: Checkpoint, values: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError):
        Training(
            PARTS, config(), REGISTRY, plan=KernelPlan.current(threads=1),
            state=TrainingState.from_checkpoint(changed(trained, **values)),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("best.more", torch.zeros(1)),
        ("best.output_bias", torch.zeros(1)),
        ("state.0.0", torch.zeros(1, 10)),
        ("state.0.1", torch.zeros(4, 10)),
        ("state.7.0", torch.zeros(4, 10)),
        ("losses", torch.zeros(1)),
        ("losses", torch.zeros(10**6)),
        ("optimizer.0.exp_avg", torch.zeros(1)),
        ("optimizer.99.exp_avg", torch.zeros(1)),
        ("nonsense", torch.zeros(1)),
    ],
)  # fmt: skip
def test_a_run_does_not_go_on_from_other_tensors(
    trained: Checkpoint, name: str, tensor: torch.Tensor
) -> None:
    odd = dataclasses.replace(trained, tensors={**trained.tensors, name: tensor})
    with pytest.raises(CheckpointError):
        training(config(), state=odd)


@settings(max_examples=25)
@given(st.data())
def test_a_damaged_model_file_is_loaded_equal_or_refused(
    tmp_path_factory: pytest.TempPathFactory, trained: Checkpoint, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "model.safetensors"
    checkpoint_file.write(trained, path)
    whole = path.read_bytes()
    path.write_bytes(mutated(whole, *data.draw(mutations)[0]))
    try:
        versemill.load(path)
    except CheckpointError:
        return
    assert path.read_bytes() == whole
