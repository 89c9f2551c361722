"""Training, resuming and writing on one CUDA device, each held against the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from small_runs import PARTS, REGISTRY, config, finish, reports, same_tensors, take, through_file
from versemill.generation.model import TrainedModel
from versemill.nn.machine import KernelPlan
from versemill.plugins.run_events import EpochReport
from versemill.training.run import Training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.gpu

CELLS = ["rnn", "gru", "lstm"]
REGULARISED = {"dropout": 0.2, "embedding_dropout": 0.1, "tied": True}


@pytest.fixture(autouse=True)
def _own_settings() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(mode=False)


def run_on(device: str, job: Any, **settings: Any) -> Training:
    plan = KernelPlan.current(device=device, threads=1)
    plan.apply()
    return Training(PARTS, job, REGISTRY, plan=plan, **settings)


def perplexities(run: Training) -> list[tuple[float, float | None]]:
    return [(report.train_perplexity, report.valid_perplexity) for report in reports(run)]


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns_what_the_cpu_learns(cell: str) -> None:
    job = config(cell=cell, training={"optimizer": "sgd", "learning_rate": 0.1})
    here, there = perplexities(run_on("cpu", job)), perplexities(run_on("cuda", job))
    for ours, theirs in zip(here, there, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-3)


@pytest.mark.parametrize("sampler", ["random", "consecutive"])
@pytest.mark.parametrize("cell", CELLS)
def test_equal_runs_are_equal_and_a_resume_goes_on_bit_for_bit(
    cell: str, sampler: str, tmp_path: Path
) -> None:
    job = config(cell=cell, sampler=sampler, model=REGULARISED)
    whole = run_on("cuda", job)
    finish(whole)
    begun = run_on("cuda", job)
    for event in begun:
        if isinstance(event, EpochReport):
            break
    take(begun, 1)
    resumed = run_on("cuda", job, state=through_file(begun.state(), tmp_path))
    finish(resumed)
    assert same_tensors(whole.state(), resumed.state())


def test_every_decoder_writes_on_it() -> None:
    chains = ["greedy"], ["temperature=0.8", "top-k=5", "top-p=0.9", "repetition-penalty"]
    model = run_on("cuda", config()).trained()
    for chain in chains:
        texts = model.generate_batch("la", 3, decoders=list(chain), length=20, seed=1)
        assert all(text.startswith("la") for text in texts)


def test_a_checkpoint_from_it_writes_on_the_cpu(tmp_path: Path) -> None:
    run = run_on("cuda", config())
    finish(run)
    state = through_file(run.state(), tmp_path).to_checkpoint()
    assert {tensor.device.type for tensor in state.tensors.values()} == {"cpu"}
    model = TrainedModel.from_checkpoint(state, REGISTRY)
    assert model.generate("la", decoders=["greedy"]) == run.trained().generate(
        "la", decoders=["greedy"]
    )


def test_a_run_of_the_cpu_goes_on_inexactly(tmp_path: Path) -> None:
    job = config()
    begun = run_on("cpu", job)
    take(begun, 1)
    state = through_file(begun.state(), tmp_path)
    finished = finish(run_on("cuda", job, state=state, inexact=True))
    assert finished.step == finish(run_on("cpu", job)).step
