"""Checkpoints whose files are sound, but fit no model, or not this one."""

from __future__ import annotations

import dataclasses
import json
import resource
import sys
import time
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import versemill
from damage import mutated, mutations
from small_runs import PARTS, REGISTRY, config
from versemill.checkpoints import file as checkpoint_file
from versemill.checkpoints.file import Checkpoint
from versemill.errors import CheckpointError
from versemill.generation.model import TrainedModel
from versemill.nn.machine import KernelPlan
from versemill.training.run import Training

MIB = 1 << 20


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    run = Training(PARTS, config(), REGISTRY, plan=KernelPlan.current(threads=1))
    for _ in run:
        pass
    return run.state()


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
        {"config__model__layers": 10**9},
        {"config__model__layers": 2},
        {"config__model__embedding_size": 10**9},
        {"config__model__embedding_size": 2**63},
        {"config__cell": "rnn"},
        {"config__cell_options": {"nonsense": 1}},
        {"config__cell_options": 5},
        {"config__model": []},
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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        TrainedModel.from_checkpoint(changed(trained, **values), REGISTRY)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 30
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 256 * MIB


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
            state=changed(trained, **values),
        )  # fmt: skip


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
