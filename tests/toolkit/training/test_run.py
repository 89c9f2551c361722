"""The training core: what it learns, what it tells, and how it fails."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from small_runs import (
    PARTS,
    REGISTRY,
    config,
    finish,
    reports,
    same_tensors,
    take,
    training,
    verse,
    without_speed,
)
from versemill.errors import CorpusError, DivergedError
from versemill.evaluation.perplexity import CODE_POINTS
from versemill.generation.model import TrainedModel
from versemill.plugins.run_events import EpochReport, Finished, Progress
from versemill.text.splitting import Parts

if TYPE_CHECKING:
    from versemill.plugins.run_events import Event
    from versemill.training.run import Training

CELLS = ["rnn", "gru", "lstm"]
SAMPLERS = ["random", "consecutive"]
NOISY = {"dropout": 0.3, "embedding_dropout": 0.2}


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes runs yield after every step and every chunk of a validation."""
    monkeypatch.setattr("versemill.training.speed._YIELD_SECONDS", -1.0)


# Learning


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_periodic_text_is_learned(cell: str, sampler: str) -> None:
    period = "abcdefgh"
    job = config(
        cell=cell,
        sampler=sampler,
        model={"hidden_size": 24},
        training={"epochs": 15, "learning_rate": 0.03, "window": 16},
        prefixes=["abc"],
        generation={"decoders": ["greedy"], "length": 20},
    )
    parts = Parts(period * 60, (period * 10,))
    *_, last = reports(training(job, parts))
    assert last.train_perplexity < 1.2
    assert last.valid_perplexity < 1.2
    assert last.lyrics[0].text == (period * 4)[:23]


def test_the_reported_loss_is_the_mean_over_the_epoch(every_step: None) -> None:
    run = training(config(training={"epochs": 1}))
    losses: list[float] = []
    for event in run:
        if isinstance(event, Progress) and event.phase == "training":
            losses = run.state().losses.tolist()
            assert event.train_perplexity == pytest.approx(math.exp(sum(losses) / len(losses)))
        if isinstance(event, EpochReport):
            assert event.train_perplexity == pytest.approx(math.exp(sum(losses) / len(losses)))
            assert event.step == len(losses)


def test_the_reported_validation_is_that_of_the_weights() -> None:
    run = training(config())
    for event in run:
        if isinstance(event, EpochReport):
            figures = run.trained().evaluate(PARTS.validation, part="validation")
            assert event.valid_perplexity == pytest.approx(figures.perplexity, rel=1e-5)


# The sequence of events


def test_a_run_reports_every_epoch_then_finishes() -> None:
    events = [e for e in training(config()) if not isinstance(e, Progress)]
    assert [type(e) for e in events] == [EpochReport] * 3 + [Finished]
    assert [e.epoch for e in events] == [1, 2, 3, 3]
    steps = events[0].step
    assert [e.step for e in events] == [steps, 2 * steps, 3 * steps, 3 * steps]


def test_lyrics_come_when_due_and_at_the_end() -> None:
    first, second, third = reports(training(config(training={"report_every": 2})))
    assert first.lyrics == ()
    for report in (second, third):
        assert [(lyric.prefix, lyric.step) for lyric in report.lyrics] == [
            ("la", report.step),
            ("?", report.step),
        ]


def test_validation_is_none_where_it_was_not_measured() -> None:
    job = config(training={"epochs": 5, "evaluate_every": 2})
    measured = [r.valid_perplexity is not None for r in reports(training(job))]
    assert measured == [False, True, False, True, True]  # and at the end


def test_without_held_out_text_nothing_is_measured() -> None:
    run = training(config(), Parts(PARTS.training))
    events = list(run)
    assert all(e.valid_perplexity is None for e in events if isinstance(e, EpochReport))
    assert events[-1].held_out == {}
    assert events[-1].best_epoch == 3


def test_the_end_measures_the_best_weights_exactly() -> None:
    job = config(training={"epochs": 6, "learning_rate": 1.0})  # gets worse on validation
    run = training(job)
    *epochs, last = [e for e in run if not isinstance(e, Progress)]
    valid = [e.valid_perplexity for e in epochs]
    assert last.best_epoch == 1 + valid.index(min(valid))
    assert last.best_epoch < 6
    best = TrainedModel.from_checkpoint(run.state().to_checkpoint(), REGISTRY, best=True)
    assert best.step == epochs[last.best_epoch - 1].step
    for part in ("validation", "test"):
        expected = best.evaluate(getattr(PARTS, part), part=part)
        assert last.held_out[part].nats_per_character == pytest.approx(expected.nats_per_character)
    assert [e.best for e in epochs].count(True) == sum(
        value < min([math.inf, *valid[:i]]) for i, value in enumerate(valid)
    )


def test_progress_tells_the_way_to_go(every_step: None) -> None:
    run = training(config())
    events = [e for e in run if isinstance(e, Progress) and e.phase == "training"]
    assert [e.step for e in events] == list(range(1, events[0].steps + 1))
    assert {e.epoch for e in events} == {1, 2, 3}
    assert events[-1].seconds_left == 0
    assert all(e.characters_per_second > 0 for e in events)


def test_every_phase_gives_a_sign_of_life(every_step: None) -> None:
    phases = {e.phase for e in training(config()) if isinstance(e, Progress)}
    assert phases == {"training", "validating", "writing"}


def test_patience_ends_a_run_that_gets_no_better() -> None:
    job = config(training={"epochs": 60, "learning_rate": 0.5, "patience": 3})
    events = list(training(job))
    valid = [e.valid_perplexity for e in events if isinstance(e, EpochReport)]
    assert events[-1].stopped_early
    assert events[-1].reason == "no improvement in 3 validations"
    assert len(valid) < 60
    assert len(valid) == events[-1].best_epoch + 3
    assert events[-2].lyrics != ()


def test_without_patience_a_run_goes_to_its_end() -> None:
    last = finish(training(config(training={"epochs": 8, "learning_rate": 0.5})))
    assert (last.epoch, last.stopped_early, last.reason) == (8, False, None)


@pytest.mark.parametrize("events_before", [3, 12])
def test_a_run_that_is_ended_early_is_measured_like_any_other(
    every_step: None, events_before: int
) -> None:
    run = training(config(training={"epochs": 1000}))
    events = iter(run)
    for _ in range(events_before):
        last = next(events)
    run.end_early("enough")
    *_, end = events
    assert isinstance(end, Finished)
    assert end.step == last.step == run.state().step
    assert (end.stopped_early, end.reason) == (True, "enough")
    assert set(end.held_out) == {"validation", "test"}


def test_different_seeds_train_differently() -> None:
    runs = [training(config(training={"seed": seed})) for seed in (1, 2)]
    first, second = [[r.train_perplexity for r in reports(run)] for run in runs]
    assert first != second


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_job_gives_the_same_run(sampler: str) -> None:
    job = config(sampler=sampler, model=NOISY)
    one, two = training(job), training(job)
    torch.manual_seed(1)
    first = without_speed(reports(one))
    torch.manual_seed(2)
    assert without_speed(reports(two)) == first
    assert same_tensors(one.state(), two.state())


def test_only_the_consecutive_sampler_carries_state(every_step: None) -> None:
    carried = {}
    for sampler in SAMPLERS:
        run = training(config(sampler=sampler, training={"seed": 1}))
        run_of_zero = training(config(sampler=sampler, training={"seed": 1}))
        take(run, 1)
        take(run_of_zero, 1)
        run_of_zero._states = run_of_zero._zero_states()
        next(iter(run))
        next(iter(run_of_zero))
        carried[sampler] = not same_tensors(run.state(), run_of_zero.state())
    assert carried == {"random": False, "consecutive": True}


# What cannot be trained


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_text_too_short_for_one_batch_is_refused(sampler: str) -> None:
    enough = 4 * 12 + (1 if sampler == "random" else 4)
    finish(training(config(sampler=sampler), Parts(verse(1, enough))))
    with pytest.raises(CorpusError, match=rf"has {enough - 1} characters.*training\.window = 12"):
        training(config(sampler=sampler), Parts(verse(1, enough)[:-1]))


def diverging(parts: Parts = PARTS, **settings: Any) -> Training:
    """A run whose states explode as soon as its weights are large."""
    options = {"optimizer": "sgd", "learning_rate": 1e30, "clip_norm": 0, **settings}
    relu = {"nonlinearity": "relu"}
    return training(config(cell="rnn", cell_options=relu, training=options), parts)


@pytest.mark.usefixtures("every_step")
def test_a_loss_that_is_not_finite_ends_the_run_with_epoch_and_step() -> None:
    run = diverging()
    seen: list[Event] = []
    with pytest.raises(DivergedError, match="learning_rate") as caught:
        seen.extend(run)
    assert (caught.value.epoch, caught.value.step) == (1, len(seen) + 1)
    with pytest.raises(DivergedError):
        run.state()


def test_a_loss_that_is_not_finite_is_found_without_a_sign_of_life() -> None:
    run = diverging()
    with pytest.raises(DivergedError) as caught:
        list(run)
    assert caught.value.epoch == 1
    assert 1 < caught.value.step <= 6


def test_a_later_epochs_divergence_is_counted_from_the_start() -> None:
    run = diverging(Parts(verse(1, 4 * 13)))  # one step an epoch
    seen: list[Event] = []
    with pytest.raises(DivergedError) as caught:
        seen.extend(run)
    assert caught.value.epoch == caught.value.step == seen[-1].epoch + 1


def test_weights_that_are_not_finite_are_never_saved() -> None:
    run = training(config())
    take(run, 1)
    with torch.no_grad():
        run._model.output_bias[0] = torch.inf
    with pytest.raises(DivergedError):
        run.state()


def test_a_validation_that_is_not_finite_ends_the_run() -> None:
    # One step of finite loss makes weights so large that the next loss overflows.
    run = diverging(Parts(verse(1, 4 * 13), (verse(2, 50),)))
    with pytest.raises(DivergedError) as caught:
        list(run)
    assert caught.value.epoch == 1


def test_held_out_text_never_reaches_the_vocabulary() -> None:
    run = training(config(), Parts(PARTS.training, ("夜" * 30,)))
    tokens = run.state().vocabulary["characters"]
    assert set(tokens) == set(PARTS.training)


def test_unknown_is_trained_from_characters_seen_once() -> None:
    # After "ab" always comes a character seen once, which stands as <unk> every other epoch.
    text = "".join(f"ab{chr(0x4E00 + i)}" for i in range(100))
    run = training(config(training={"epochs": 20, "learning_rate": 0.03}), Parts(text))
    finish(run)
    figures = [run.trained().evaluate([seen], part="test") for seen in ("ab", "ab龙")]
    nats = [f.nats_per_character * f.characters for f in figures]
    unknown_after_ab = nats[1] - nats[0] - math.log(CODE_POINTS - 102)
    assert math.exp(-unknown_after_ab) == pytest.approx(0.5, abs=0.2)


def test_classic_has_no_unknown(every_step: None) -> None:
    job = config(tokenizer_options={"unknown": False})
    run = training(job)
    assert run._tokenizer.unknown_id is None
    assert finish(run).epoch == 3


def test_the_parts_are_not_mixed_up() -> None:
    other = dataclasses.replace(PARTS, test=(verse(9, 70),))
    first, second = finish(training(config())), finish(training(config(), other))
    assert first.held_out["validation"] == second.held_out["validation"]
    assert first.held_out["test"] != second.held_out["test"]
