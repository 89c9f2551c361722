"""The `classic` recipe against the textbook's loop: same numbers, same quality."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest
import torch

from small_runs import REGISTRY, plan, reports
from textbook_loop import (
    GATES,
    Textbook,
    consecutive_batches,
    random_batches,
    train,
    vocabulary,
)
from versemill.config.validation import NoOptions
from versemill.nn.seeds import derived
from versemill.plugins.resolution import resolve
from versemill.plugins.run_events import Progress
from versemill.text.splitting import Parts, split
from versemill.training.run import Training

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from versemill.checkpoints.state import TrainingState

pytestmark = pytest.mark.slow

B, T, UPDATES = 32, 35, 20
H = 32  # of 256, to be fast; benchmarks/classic_agreement.py takes all
MATRICES = ("weight_input", "weight_hidden", "bias")


def classic_run(cell: str, dtype: str, **tables: object) -> tuple[Training, str]:
    """A run of the recipe on the bundled Chinese lyrics, and its training text."""
    job = resolve({"recipe": "classic", "cell": cell, **tables}, REGISTRY)
    text = REGISTRY.find("corpus", job.corpus).load()(NoOptions())
    parts = split(text, job.text)
    return Training(Parts(parts.training), job, REGISTRY, plan=plan(dtype)), parts.training


def as_textbook(cell: str, state: TrainingState) -> dict[str, Tensor]:
    """Our weights under the textbook's names."""
    model = state.weights
    named = {"W_hq": model["output_weight"].t(), "b_q": model["output_bias"]}
    for gate, W_x, W_h, b in zip(
        GATES[cell],
        *(model[f"cells.0.{name}"].split(H, dim=-1) for name in MATRICES),
        strict=True,
    ):
        named |= {f"W_x{gate}": W_x, f"W_h{gate}": W_h, f"b_{gate}": b}
    return named


def batches_of(cell: str, ids: list[int], seed: int, epoch: int) -> Iterator:
    """The textbook's batches; the order of random windows is the one of our seed."""
    if cell != "rnn":
        return consecutive_batches(ids, B, T)
    generator = torch.Generator().manual_seed(derived(seed, "windows", epoch))
    order = torch.randperm((len(ids) - 1) // T, generator=generator).tolist()
    return random_batches(ids, B, T, order)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_classic_computes_what_the_textbook_computes(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("versemill.training.speed._YIELD_SECONDS", -1.0)
    run, text = classic_run(cell, "float64", model={"hidden_size": H})
    start = run.state()
    ours: list[float] = []
    for event in run:
        if isinstance(event, Progress) and event.phase == "training":
            ours.append(float(run._losses[run._position - 1]))
            if event.step == UPDATES:
                break

    characters = vocabulary(text)
    ids = [characters.index(character) for character in text]
    book = Textbook(cell, len(characters), H, torch.float64)
    with torch.no_grad():
        initial = as_textbook(cell, start)
        assert initial.keys() == book.weights.keys()
        for name, weight in book.weights.items():
            weight.copy_(initial[name])
    theirs: list[float] = []
    for epoch in range(3):
        batches = batches_of(cell, ids, run.config.training.seed, epoch)
        state = book.zero_state(B)
        for x, y in batches:
            if len(theirs) < UPDATES:
                state = book.zero_state(B) if cell == "rnn" else state
                loss, state = book.update(x, y, state, rate=100.0, theta=0.01)
                theirs.append(loss)

    assert len(text) == 10_000
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert ours[-1] < ours[0]
    for name, weight in as_textbook(cell, run.state()).items():
        torch.testing.assert_close(
            weight, book.weights[name].detach(), rtol=1e-9, atol=1e-12, msg=name
        )


def test_classic_learns_as_well_as_the_textbook() -> None:
    small = {"H": 32, "B": 8, "T": 16, "epochs": 30}
    finals: list[float] = []
    for seed in range(3):
        run, text = classic_run(
            "rnn",
            "float32",
            corpus_options={"first": 1_000},
            model={"hidden_size": small["H"]},
            training={
                "epochs": small["epochs"],
                "batch_size": small["B"],
                "window": small["T"],
                "seed": seed,
            },
            prefixes=[],
        )
        finals.append(reports(run)[-1].train_perplexity)
    theirs = [train(text, "rnn", carry=False, seed=seed, **small) for seed in range(3)]
    assert statistics.geometric_mean(finals) == pytest.approx(
        statistics.geometric_mean(theirs), rel=0.1
    )
    assert max(theirs) < len(vocabulary(text)) / 5  # both have learned
