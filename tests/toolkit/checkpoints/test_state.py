"""The state of a run, as checkpoints hold it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import versemill
import versemill_workers
from small_runs import config, finish, take, training
from versemill.checkpoints.file import Checkpoint, read, write
from versemill.checkpoints.state import TrainingState
from versemill.errors import CheckpointError

KEYS = [
    "step", "epoch", "position", "best_nats", "best_epoch", "best_step", "disappointments",
    "config", "plan", "vocabulary", "content_hash", "text_hash", "unseen", "plugins",
]  # fmt: skip


@pytest.fixture(scope="module")
def state() -> TrainingState:
    """In the third epoch, after a best validation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("versemill.training.speed._YIELD_SECONDS", -1.0)
        run = training(config(cell="lstm", model={"layers": 2}))
        next(e for e in run if run.state().epoch == 2 and run.state().position == 2)
    return run.state()


def changed(state: TrainingState, **values: Any) -> Checkpoint:
    """A checkpoint with other entries in its metadata; a value of None leaves the entry out."""
    checkpoint = state.to_checkpoint()
    meta = json.loads(json.dumps({**checkpoint.meta, **values}))
    return dataclasses.replace(checkpoint, meta={k: v for k, v in meta.items() if v is not None})


def test_equal_states_give_equal_files(state: TrainingState, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write(state.to_checkpoint(), first)
    write(TrainingState.from_checkpoint(read(first)).to_checkpoint(), second)
    assert first.read_bytes() == second.read_bytes()


def test_a_state_comes_back_as_it_was(state: TrainingState, tmp_path: Path) -> None:
    write(state.to_checkpoint(), tmp_path / "file")
    back = TrainingState.from_checkpoint(read(tmp_path / "file"))
    for field in dataclasses.fields(state):
        ours, theirs = getattr(state, field.name), getattr(back, field.name)
        if field.name in {"weights", "best_weights", "optimizer"}:
            assert ours
            assert ours.keys() == theirs.keys(), field.name
            assert all(torch.equal(ours[name], theirs[name]) for name in ours), field.name
        elif field.name == "carried":
            assert [len(layer) for layer in ours] == [2, 2]
            pairs = zip(ours, theirs, strict=True)
            assert all(map(torch.equal, one, other) for one, other in pairs)
        elif field.name == "losses":
            assert torch.equal(ours, theirs)
        else:
            assert json.dumps(ours, default=vars) == json.dumps(theirs, default=vars), field.name


def test_the_names_in_files_stay_those_of_version_0_1_0(state: TrainingState) -> None:
    checkpoint = state.to_checkpoint()
    assert list(checkpoint.meta) == KEYS
    kinds = {name.split(".")[0] for name in checkpoint.tensors}
    assert kinds <= {"model", "best", "optimizer", "state", "losses"}
    assert {"state.0.0", "state.0.1", "state.1.0", "state.1.1"} <= checkpoint.tensors.keys()


def test_the_best_weights_are_written_once() -> None:
    run = training(config())
    finish(run)
    state = dataclasses.replace(run.state(), best_step=run.step)
    checkpoint = state.to_checkpoint()
    assert not checkpoint.part("best")
    back = TrainingState.from_checkpoint(checkpoint)
    assert back.best_weights.keys() == back.weights.keys()


def test_before_a_validation_there_are_no_best_weights() -> None:
    run = training(config())
    take(run, 1)
    back = TrainingState.from_checkpoint(run.state().to_checkpoint())
    assert (back.best_weights, back.best_nats, back.best_step) == ({}, None, 0)


def test_cells_without_a_state_carry_none(state: TrainingState) -> None:
    stateless = dataclasses.replace(state, carried=((), ()))
    assert TrainingState.from_checkpoint(stateless.to_checkpoint()).carried == ()


def test_what_older_files_lack_means_what_was_then(state: TrainingState) -> None:
    old = changed(state, content_hash=None)
    for record in old.meta["plugins"]:
        del record["kind"], record["options"]
    back = TrainingState.from_checkpoint(old)
    assert back.content_hash == ""
    assert back.plugins == state.plugins


@pytest.mark.parametrize(
    "values",
    [
        *({key: None} for key in KEYS if key not in {"content_hash", "best_nats"}),
        {"step": -1},
        {"step": True},
        {"step": 7.5},
        {"best_nats": "low"},
        {"best_step": []},
        {"disappointments": "x"},
        {"content_hash": 3},
        {"text_hash": 3},
        {"unseen": 10**400},
        {"vocabulary": []},
        {"plan": []},
        {"config": 5},
        {"config": {"cell": "gru"}},
        {"plugins": 3},
        {"plugins": ["gru"]},
    ],
    ids=str,
)
def test_malformed_metadata_is_one_error_that_names_the_entry(
    state: TrainingState, values: dict[str, Any]
) -> None:
    named = {"config": "config", "plan": "plan", "plugins": "list of plugins"}
    (key,) = values
    with pytest.raises(CheckpointError, match=named.get(key, key)) as caught:
        TrainingState.from_checkpoint(changed(state, **values))
    assert "\n" not in str(caught.value)


def test_records_of_other_kinds_are_refused(state: TrainingState) -> None:
    odd = changed(state)
    odd.meta["plugins"].reverse()
    with pytest.raises(CheckpointError, match="list of plugins is malformed"):
        TrainingState.from_checkpoint(odd)


@pytest.mark.parametrize("change", ["state.0.0", "state.9.0", "state.99999999999999999999.0"])
def test_carried_states_have_no_gap(state: TrainingState, change: str) -> None:
    tensors = state.to_checkpoint().tensors
    if change in tensors:
        del tensors[change]
    else:
        tensors[change] = torch.zeros(1)
    with pytest.raises(CheckpointError, match="does not fit"):
        TrainingState.from_checkpoint(Checkpoint(tensors, state.to_checkpoint().meta))


@pytest.mark.parametrize("position", [0, 10**9])
def test_losses_are_those_of_the_epoch_so_far(position: int) -> None:
    run = training(config())
    take(run, 1)
    with pytest.raises(CheckpointError, match=r"losses of [0-9,]+ steps are needed"):
        TrainingState.from_checkpoint(changed(run.state(), position=position))


def test_reading_one_copies_no_tensor(state: TrainingState) -> None:
    checkpoint = state.to_checkpoint()
    back = TrainingState.from_checkpoint(checkpoint)
    for name, tensor in back.weights.items():
        assert tensor.data_ptr() == state.weights[name].data_ptr()


def test_no_other_module_reads_metadata_by_name() -> None:
    for package in (versemill, versemill_workers):
        folder = Path(package.__path__[0])
        for module in folder.rglob("*.py"):
            if module.parent != folder / "checkpoints":
                assert not re.search(r"\bmeta(\[|\.get\()", module.read_text()), module
