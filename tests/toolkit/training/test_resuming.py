"""Saving, resuming and looking change nothing; what is not the same run is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

import versemill_plugins
from small_runs import (
    PARTS,
    config,
    finish,
    plan,
    reports,
    same_tensors,
    take,
    through_file,
    training,
    without_speed,
)
from versemill.config.stored_options import ABSENT
from versemill.errors import CheckpointError, PlanMismatchError, PluginMismatchError
from versemill.plugins.discovery import Source
from versemill.plugins.registry import Registry
from versemill.plugins.run_events import EpochReport, Finished, Progress
from versemill.text.corpus import Text
from versemill.text.options import TextOptions
from versemill.text.splitting import Parts, split
from versemill.training.run import Training

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.checkpoints.file import Checkpoint
    from versemill.plugins.run_events import Event

CELLS = ["rnn", "gru", "lstm"]
SAMPLERS = ["random", "consecutive"]
NOISY = {"dropout": 0.3, "embedding_dropout": 0.2}


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes runs yield after every step and every chunk of a validation."""
    monkeypatch.setattr("versemill.training.speed._YIELD_SECONDS", -1.0)


# Saving and going on


def stop_points(run_events: list[Event]) -> list[int]:
    """Numbers of events after which to stop: in and between epochs, validating, writing."""
    points: list[int] = []
    for wanted in ("training", "validating", "writing", "EpochReport"):
        places = [
            number
            for number, event in enumerate(run_events, start=1)
            if getattr(event, "phase", type(event).__name__) == wanted
        ]
        points += {places[1 % len(places)], places[-1]}
    return points


@pytest.mark.usefixtures("every_step")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_resumed_run_equals_an_undisturbed_one(cell: str, sampler: str, tmp_path: Path) -> None:
    job = config(cell=cell, sampler=sampler, model=NOISY, training={"patience": 3})
    whole = training(job)
    events = list(whole)
    lasting = [e for e in events if not isinstance(e, Progress)]
    for stop in stop_points(events):
        broken = training(job)
        before = take(broken, stop)
        resumed = training(job, state=through_file(broken.state(), tmp_path))
        after = list(resumed)
        curve = [e for e in (*before, *after) if not isinstance(e, Progress)]
        assert without_speed(curve) == without_speed(lasting), stop
        assert same_tensors(resumed.state(), whole.state()), stop


def test_patience_and_the_best_weights_outlive_a_stop(tmp_path: Path) -> None:
    job = config(training={"epochs": 40, "learning_rate": 0.1, "patience": 3})
    whole = training(job)
    events = [e for e in whole if not isinstance(e, Progress)]
    assert 1 < events[-1].best_epoch < events[-1].epoch < 40
    for stop in range(events[-1].best_epoch, events[-1].epoch + 1):
        broken = training(job)
        run = iter(broken)
        while not (isinstance(event := next(run), EpochReport) and event.epoch == stop):
            pass
        resumed = training(job, state=through_file(broken.state(), tmp_path))
        after = [e for e in resumed if not isinstance(e, Progress)]
        assert without_speed(after) == without_speed(events[stop:])
        assert same_tensors(resumed.state(), whole.state())


@pytest.mark.usefixtures("every_step")
def test_a_run_broken_at_every_step_equals_an_undisturbed_one(tmp_path: Path) -> None:
    job = config(model={**NOISY, "layers": 2})
    whole = training(job)
    expected = without_speed(reports(whole))
    curve: list[EpochReport] = []
    run, last = training(job), None
    while not isinstance(last, Finished):
        # The step after the last one, or the rest of an epoch's end if there is no step.
        for last in run:
            curve += [last] * isinstance(last, EpochReport)
            if isinstance(last, EpochReport) or getattr(last, "phase", "") == "training":
                break
        run = training(job, state=through_file(run.state(), tmp_path))
    assert without_speed(curve) == expected
    assert same_tensors(run.state(), whole.state())


@pytest.mark.usefixtures("every_step")
def test_going_on_with_the_same_object_changes_nothing() -> None:
    job = config(model=NOISY)
    whole, broken = training(job), training(job)
    finish(whole)
    take(broken, 7)
    finish(broken)
    assert same_tensors(broken.state(), whole.state())


@pytest.mark.usefixtures("every_step")
def test_looking_does_not_change_the_run() -> None:
    job = config(model=NOISY)
    unwatched, watched = training(job), training(job)
    expected = without_speed(unwatched)
    seen = []
    for event in watched:
        seen.append(event)
        watched.state()
        model = watched.trained()
        model.generate("la", length=5, decoders=["temperature=2"])
        stream = model.stream("do", length=5)  # begun and forgotten
        next(stream)
        model.evaluate(["la la"], part="test")
    assert without_speed(seen) == expected
    assert same_tensors(watched.state(), unwatched.state())


@pytest.mark.usefixtures("every_step")
def test_a_caller_computes_as_before_between_events() -> None:
    assert all(torch.is_grad_enabled() for _ in training(config()))


def test_a_state_stays_as_it_was_while_the_run_goes_on() -> None:
    run = training(config(cell="lstm"))
    take(run, 1)
    state = run.state()
    before = {name: tensor.clone() for name, tensor in state.to_checkpoint().tensors.items()}
    finish(run)
    after = state.to_checkpoint().tensors
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_checkpoint_given_stays_as_it_was() -> None:
    run = training(config(cell="lstm"))
    take(run, 1)
    state = run.state()
    before = {name: tensor.clone() for name, tensor in state.to_checkpoint().tensors.items()}
    finish(training(config(cell="lstm"), state=state))
    after = state.to_checkpoint().tensors
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_the_metadata_is_json() -> None:
    run = training(config())
    finish(run)
    meta = json.loads(json.dumps(run.state().to_checkpoint().meta))
    assert (meta["step"], meta["epoch"]) == (run.trained().step, 3)
    assert [p["name"] for p in meta["plugins"]] == ["gru", "consecutive", "char"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_more_epochs_continue_a_finished_run(optimizer: str, tmp_path: Path) -> None:
    settings = {"optimizer": optimizer, "learning_rate": 0.02}
    short = training(config(model=NOISY, training={"epochs": 2, **settings}))
    whole = training(config(model=NOISY, training={"epochs": 5, **settings}))
    first = reports(short)
    longer = training(
        config(model=NOISY, training={"epochs": 5, **settings}),
        state=through_file(short.state(), tmp_path),
    )
    curve = [*first, *reports(longer)]
    assert [r.epoch for r in curve] == [1, 2, 3, 4, 5]
    expected = reports(whole)
    for got, wanted in zip(curve, expected, strict=True):
        assert got.train_perplexity == wanted.train_perplexity
        assert got.valid_perplexity == wanted.valid_perplexity
    assert same_tensors(longer.state(), whole.state())


def test_a_finished_run_finishes_again_alike(tmp_path: Path) -> None:
    run = training(config())
    last = finish(run)
    again = list(training(config(), state=through_file(run.state(), tmp_path)))
    assert [e for e in again if not isinstance(e, Progress)] == [last]


# What may not be mixed


def changed_plan(run: Training, **changes: Any) -> Any:
    state = run.state().to_checkpoint()
    state.meta["plan"] = {**state.meta["plan"], **changes}
    return state


def test_a_state_of_another_plan_is_refused() -> None:
    state = changed_plan(training(config()), hardware="ABACUS")
    with pytest.raises(PlanMismatchError, match="'ABACUS'"):
        training(config(), state=state)


def test_a_state_of_another_plan_can_be_allowed() -> None:
    state = changed_plan(training(config()), hardware="ABACUS")
    run = training(config(), state=state, inexact=True)
    assert run.plan == plan()
    assert finish(run).epoch == 3


def test_a_state_keeps_its_dtype_and_threads() -> None:
    run = training(config(), dtype="float64")
    resumed = training(config(), state=run.state())
    assert resumed.plan.dtype == "float64"
    assert resumed.state().weights["output_bias"].dtype == torch.float64


def test_a_state_without_a_plan_is_refused() -> None:
    state = training(config()).state().to_checkpoint()
    del state.meta["plan"]
    with pytest.raises(CheckpointError, match="plan"):
        training(config(), state=state)


@pytest.mark.parametrize(
    "text", [PARTS.training + "q", PARTS.training[::-1]], ids=["letters", "same-letters"]
)
def test_a_state_of_another_text_is_refused(text: str) -> None:
    state = training(config()).state().to_checkpoint()
    with pytest.raises(CheckpointError, match="another training text"):
        training(config(), Parts(text, PARTS.validation), state=state)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cell": "lstm"}, "cell = 'gru'"),
        ({"sampler": "random"}, "sampler = 'consecutive'"),
        ({"model": {"hidden_size": 11}}, "model.hidden_size = 10"),
        ({"training": {"batch_size": 3}}, "training.batch_size = 4"),
        ({"training": {"window": 11}}, "training.window = 12"),
        ({"training": {"seed": 6}}, "training.seed = 5"),
        ({"training": {"learning_rate": 0.5}}, "training.learning_rate = 0.003"),
    ],
)
def test_a_state_of_another_job_is_refused(changes: dict[str, Any], named: str) -> None:
    state = training(config()).state().to_checkpoint()
    with pytest.raises(CheckpointError) as caught:
        training(config(**changes), state=state)
    assert named in str(caught.value)


class TestOptionsAddedSinceTheCheckpoint:
    """A checkpoint that lacks one was made with what was done before there was a choice."""

    @pytest.mark.parametrize(
        "section", ["training.warmup_steps", "training.weight_decay", "model.tied"]
    )
    def test_are_as_by_default(self, section: str) -> None:
        state = training(config()).state().to_checkpoint()
        table, name = section.split(".")
        del state.meta["config"][table][name]
        assert finish(training(config(), state=state)).epoch == 3

    def test_are_compared(self) -> None:
        state = training(config()).state().to_checkpoint()
        del state.meta["config"]["training"]["warmup_steps"]
        with pytest.raises(CheckpointError, match=r"training.warmup_steps = 0, this job has 5"):
            training(config(training={"warmup_steps": 5}), state=state)

    def test_are_as_the_table_says_where_the_default_is_another(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(ABSENT, "training.warmup_steps", 5)
        state = training(config(training={"warmup_steps": 5})).state().to_checkpoint()
        del state.meta["config"]["training"]["warmup_steps"]
        assert finish(training(config(training={"warmup_steps": 5}), state=state)).epoch == 3
        with pytest.raises(CheckpointError, match=r"training.warmup_steps = 5, this job has 0"):
            training(config(), state=state)

    def test_may_be_a_plugins(self) -> None:
        state = training(config()).state().to_checkpoint()
        del state.meta["config"]["cell_options"]["reset"]
        del state.meta["plugins"][0]["options"]["reset"]
        assert finish(training(config(), state=state)).epoch == 3
        job = config(cell_options={"reset": "before"})
        with pytest.raises(PluginMismatchError, match="options: reset 'after' → 'before'"):
            training(job, state=state)

    def test_may_be_a_field_of_the_kernel_plan(self) -> None:
        state = training(config()).state().to_checkpoint()
        del state.meta["plan"]["dtype"]
        assert training(config(), state=state).plan == plan()

    def test_one_that_this_version_does_not_know_is_refused(self) -> None:
        state = training(config()).state().to_checkpoint()
        state.meta["config"]["training"]["annealing"] = 3
        with pytest.raises(CheckpointError, match=r"annealing = 3 is not allowed: no such"):
            training(config(), state=state)


def test_how_a_run_is_watched_may_change() -> None:
    state = training(config()).state().to_checkpoint()
    job = config(
        prefixes=["do"],
        generation={"length": 3},
        training={"report_every": 1, "evaluate_every": 2, "patience": 9},
    )
    assert finish(training(job, state=state)).epoch == 3


def made_with(**changes: Any) -> Checkpoint:
    """A checkpoint whose cell was another in these respects."""
    state = training(config()).state().to_checkpoint()
    cell, *others = state.meta["plugins"]
    state.meta["plugins"] = [{**cell, **changes}, *others]
    return state


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"version": "0.0.9"}, "cell 'gru': versemill_plugins 0.0.9 → 0.1.0"),
        ({"distribution": "dist-y"}, "cell 'gru': dist-y 0.1.0 → versemill_plugins 0.1.0"),
        ({"options": {"reset": "before"}}, "cell 'gru': options: reset 'before' → 'after'"),
        (
            {"version": "1.2", "options": {"reset": "after", "hidden": 3}},
            "cell 'gru': versemill_plugins 1.2 → 0.1.0; options: hidden 3 → None",
        ),
    ],
)
def test_other_plugins_are_refused_with_the_difference_or_accepted(
    changes: dict[str, Any], difference: str
) -> None:
    state = made_with(**changes)
    with pytest.raises(PluginMismatchError) as caught:
        training(config(), state=state, inexact=True)
    assert caught.value.changes == [difference]
    assert str(caught.value) == f"cannot continue bit for bit: {difference}"
    run = training(config(), state=state, accept_change=True)
    assert run.accepted == [difference]
    assert finish(run).epoch == 3


@pytest.mark.parametrize(("made", "found"), [("0.1.0", "9.9.9"), ("9.9.9", "0.1.0")])
def test_a_run_goes_on_with_another_version_of_the_product(made: str, found: str) -> None:
    state = Training(PARTS, config(), built_ins(made), plan=plan()).state()
    resumed = Training(PARTS, config(), built_ins(found), plan=plan(), state=state)
    assert resumed.accepted == []


def test_built_ins_whose_results_have_changed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state = Training(PARTS, config(), built_ins("0.1.0"), plan=plan()).state()
    monkeypatch.setattr(versemill_plugins, "_FIRST", "9.9.9")
    with pytest.raises(PluginMismatchError, match=r"cell 'gru': versemill 0\.1\.0 → 9\.9\.9"):
        Training(PARTS, config(), built_ins("9.9.9"), plan=plan(), state=state)


def built_ins(version: str) -> Registry:
    """As they come with that version of the product."""
    source = Source(distribution="versemill", version=version, load=lambda: versemill_plugins)
    return Registry.of([source])


def test_each_plugin_that_changed_is_told() -> None:
    state = training(config()).state().to_checkpoint()
    state.meta["plugins"] = [{**p, "version": "0.0.9"} for p in state.meta["plugins"]]
    with pytest.raises(PluginMismatchError) as caught:
        training(config(), state=state)
    kinds = ["cell 'gru'", "sampler 'consecutive'", "tokenizer 'char'"]
    message = [f"{kind}: versemill_plugins 0.0.9 → 0.1.0" for kind in kinds]
    assert caught.value.changes == message


def test_options_with_which_the_weights_do_not_fit_are_refused_though_accepted() -> None:
    state = training(config()).state().to_checkpoint()
    job = config(cell_options={"reset": "before"})
    with pytest.raises(PluginMismatchError, match="options: reset 'after' → 'before'"):
        training(job, state=state)
    with pytest.raises(CheckpointError, match=r"does not fit this job: .*bias_hidden"):
        training(job, state=state, accept_change=True)


def test_a_checkpoint_of_before_kinds_and_options_were_recorded() -> None:
    state = training(config()).state().to_checkpoint()
    kept = ("name", "distribution", "version")
    state.meta["plugins"] = [{key: p[key] for key in kept} for p in state.meta["plugins"]]
    assert finish(training(config(), state=state)).epoch == 3
    state.meta["plugins"][0]["version"] = "0.0.9"
    with pytest.raises(PluginMismatchError, match=r"cell 'gru': versemill_plugins 0\.0\.9 → 0\.1"):
        training(config(), state=state)


@pytest.mark.parametrize("plugins", [None, 3, [], ["gru"], [{"name": "gru"}] * 3, [None] * 3])
def test_a_malformed_list_of_plugins_is_refused(plugins: Any) -> None:
    state = training(config()).state().to_checkpoint()
    state.meta["plugins"] = plugins
    with pytest.raises(CheckpointError, match="list of plugins is malformed"):
        training(config(), state=state)


def test_a_checkpoint_names_the_text_and_the_options_it_was_made_with() -> None:
    text = Text((PARTS.training,))
    meta = training(config(), split(text, TextOptions())).state().to_checkpoint().meta
    assert meta["content_hash"] == text.content_hash
    assert meta["plugins"][0] == {
        "kind": "cell",
        "name": "gru",
        "distribution": "versemill_plugins",
        "version": "0.1.0",
        "options": {"reset": "after"},
    }


@pytest.mark.parametrize("name", ["losses", "state.0.0", "model.output_bias"])
def test_a_state_that_lacks_a_tensor_is_refused(name: str) -> None:
    run = training(config())
    take(run, 1)
    state = run.state().to_checkpoint()
    del state.tensors[name]
    with pytest.raises(CheckpointError, match="does not fit"):
        training(config(), state=state)
