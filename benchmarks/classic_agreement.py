"""Compares the `classic` recipe with the textbook's loop on the bundled Chinese lyrics.

    python benchmarks/classic_agreement.py [--epochs 60] [--cells rnn gru lstm] [--seeds 3]

Prints the perplexity of the last epoch of each seed, ours beside the textbook's, and exits with 1
if their geometric means differ by more than the tolerance. The loop is that of the tests
(tests/support/textbook_loop.py): one-hot products and a Python loop over characters.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

from versemill.config.validation import NoOptions
from versemill.nn.machine import KernelPlan
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.plugins.run_events import EpochReport
from versemill.text.splitting import Parts, split
from versemill.training.run import Training

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from textbook_loop import train


def main() -> int:
    """Runs the comparison; returns the exit code."""
    options = _arguments()
    plan = KernelPlan.current(threads=options.threads)
    plan.apply()
    failures = 0
    print(f"{'cell':5} {'seed':>4} {'classic':>9} {'textbook':>9} {'seconds':>8} {'seconds':>8}")
    for cell in options.cells:
        ours, theirs = [], []
        for seed in range(options.seeds):
            started = time.perf_counter()
            ours.append(_classic(cell, seed, options, plan))
            between = time.perf_counter()
            theirs.append(_textbook(cell, seed, options))
            print(
                f"{cell:5} {seed:4} {ours[-1]:9.3f} {theirs[-1]:9.3f} "
                f"{between - started:8.1f} {time.perf_counter() - between:8.1f}",
                flush=True,
            )
        ratio = statistics.geometric_mean(ours) / statistics.geometric_mean(theirs)
        agrees = abs(ratio - 1) <= options.tolerance
        failures += not agrees
        print(f"{cell:5} mean ratio {ratio:.3f}: {'agrees' if agrees else 'DIFFERS'}", flush=True)
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", nargs="+", default=["rnn", "gru", "lstm"])
    parser.add_argument("--epochs", type=int, default=60, help="0: as many as the recipe")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=10_000, help="characters of the corpus")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--tolerance", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def _job(cell: str, seed: int, options: argparse.Namespace) -> dict[str, object]:
    return {
        "recipe": "classic",
        "cell": cell,
        "prefixes": [],
        "corpus_options": {"first": options.first},
        "model": {"hidden_size": options.hidden_size},
        "training": {"seed": seed} | ({"epochs": options.epochs} if options.epochs else {}),
    }


def _classic(cell: str, seed: int, options: argparse.Namespace, plan: KernelPlan) -> float:
    registry = Registry.discover()
    job = resolve(_job(cell, seed, options), registry)
    run = Training(Parts(_text(registry, options)), job, registry, plan=plan)
    return [e.train_perplexity for e in run if isinstance(e, EpochReport)][-1]


def _textbook(cell: str, seed: int, options: argparse.Namespace) -> float:
    registry = Registry.discover()
    job = resolve(_job(cell, seed, options), registry)
    return train(
        _text(registry, options),
        cell,
        H=job.model.hidden_size,
        B=job.training.batch_size,
        T=job.training.window,
        epochs=job.training.epochs,
        carry=job.sampler == "consecutive",
        seed=seed,
    )


def _text(registry: Registry, options: argparse.Namespace) -> str:
    job = resolve(_job("rnn", 0, options), registry)
    return split(registry.find("corpus", job.corpus).load()(NoOptions()), job.text).training


if __name__ == "__main__":
    sys.exit(main())
