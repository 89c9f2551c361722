"""Updates a second: the `classic` recipe against a plain textbook loop, in one run.

    python benchmarks/classic_speed.py [--repeats 7]

Both train the plain recurrent network on the classic preparation of `starter-zh` with PyTorch's
own number of threads. Each repeat starts both from the same weights and gives both the same
batches, one after the other, the first place taking turns. Every epoch's mean loss must agree to
1e-4, relative, in float32. Passes when the median of the ratios is at least 3.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from textbook import TextbookLoop

import versemill_plugins
from versemill.config.validation import NoOptions
from versemill.nn.machine import KernelPlan
from versemill.nn.seeds import derived
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.plugins.run_events import EpochReport
from versemill.text.splitting import Parts, split
from versemill.training.run import Training

if TYPE_CHECKING:
    from torch import Tensor

    from versemill.config.job import JobConfig

TARGET = 3.0
TOLERANCE = 1e-4
EPOCHS = 3


@dataclass(frozen=True)
class Timing:
    """One side of a repeat: seconds an update, and each epoch's mean loss."""

    seconds: float
    losses: tuple[float, ...]


def classic(parts: Parts, config: JobConfig, registry: Registry, updates: int) -> Timing:
    """Trains with versemill; the run is built before the clock starts."""
    run = Training(parts, config, registry, plan=KernelPlan.current())
    events = iter(run)
    losses: list[float] = []
    began = time.perf_counter()
    while len(losses) < EPOCHS:
        event = next(events)
        if isinstance(event, EpochReport):
            losses.append(math.log(event.train_perplexity))
    return Timing((time.perf_counter() - began) / updates, tuple(losses))


def textbook(loop: TextbookLoop, epochs: list[Tensor]) -> Timing:
    """Trains the textbook loop on the batches given."""
    began = time.perf_counter()
    losses = [
        statistics.fmean(loop.update(starts_B) for starts_B in starts_SB) for starts_SB in epochs
    ]
    updates = sum(len(starts_SB) for starts_SB in epochs)
    return Timing((time.perf_counter() - began) / updates, tuple(losses))


def compare(parts: Parts, config: JobConfig, registry: Registry, *, first: bool) -> float:
    """One repeat: seconds of the textbook's update by those of ours; exits when losses differ."""
    training = config.training
    tokenizer_class = registry.find("tokenizer", config.tokenizer)
    options = tokenizer_class.options_from(config.tokenizer_options)
    tokenizer = tokenizer_class.load().train(parts.training, options)
    ids = tokenizer.encode(parts.training)
    sampler = registry.find("sampler", config.sampler).load()(
        len(ids), training.batch_size, training.window
    )
    epochs = [
        sampler.starts(torch.Generator().manual_seed(derived(training.seed, "windows", epoch)))
        for epoch in range(EPOCHS)
    ]
    loop = TextbookLoop(ids, len(tokenizer.tokens))
    untrained = Training(parts, config, registry, plan=KernelPlan.current()).state()
    loop.start_from(dict(untrained.weights))
    updates = EPOCHS * sampler.steps
    ours = classic(parts, config, registry, updates) if first else None
    theirs = textbook(loop, epochs)
    ours = ours or classic(parts, config, registry, updates)
    for epoch, (a, b) in enumerate(zip(ours.losses, theirs.losses, strict=True), start=1):
        if not math.isclose(a, b, rel_tol=TOLERANCE):
            sys.exit(f"FAIL: the losses of epoch {epoch} differ: classic {a:.6f}, textbook {b:.6f}")
    print(
        f"  an update: classic {ours.seconds * 1e3:.1f} ms, textbook {theirs.seconds * 1e3:.1f} ms;"
        f" losses equal ({ours.losses[-1]:.4f})",
        flush=True,
    )
    return theirs.seconds / ours.seconds


def main() -> int:
    """Measures and prints; 0 when the target is met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    registry = Registry([versemill_plugins])
    config = resolve({"recipe": "classic", "cell": "rnn"}, registry)
    never = replace(config.training, report_every=10**9)
    config = replace(config, training=never)
    songs = registry.find("corpus", "starter-zh").load()(NoOptions())
    parts = Parts(split(songs, config.text).training)  # nothing held out: nothing is evaluated
    print(f"{len(set(parts.training))} distinct characters, {torch.get_num_threads()} threads")
    ratios = [compare(parts, config, registry, first=i % 2 == 0) for i in range(repeats)]
    ratio = statistics.median(ratios)
    passed = ratio >= TARGET
    print(f"median ratio {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), ", end="")
    print(f"target {TARGET:.0f}: {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
