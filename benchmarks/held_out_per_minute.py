"""Time to a held-out loss: the `default` recipe against a plain textbook loop, in one run.

    python benchmarks/held_out_per_minute.py [--seed 0]

1. The textbook loop (`textbook.py`, the `classic` figures) trains on `default`'s own training
   songs until its held-out loss has not improved for 25 epochs. Its best loss, and the training
   time up to it, are the mark.
2. `default` trains on the same songs until it is at or below the mark.

Both are measured on the same validation songs by `versemill.evaluation.perplexity`, every
character of them scored. The textbook has no `<unk>`; the measure keeps the share back for unseen
characters that its training text suggests. Evaluation is not counted on either side; building the
model is not counted for the textbook and is for `default`. Both use PyTorch's own number of
threads. Passes when `default` needs at most a twentieth of the time.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from textbook import TextbookLoop

import versemill_plugins
from versemill.config.recipes import apply_overrides
from versemill.config.validation import NoOptions
from versemill.evaluation.perplexity import evaluate, unseen_share
from versemill.nn.machine import KernelPlan
from versemill.nn.network import build_model
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.plugins.selection import Selection
from versemill.text.splitting import Parts, split
from versemill.training.run import Training

if TYPE_CHECKING:
    from versemill.config.job import JobConfig

TARGET = 20.0
PATIENCE = 25
MOST_EPOCHS = 250


@dataclass(frozen=True)
class Mark:
    """A held-out loss and what it took to reach it."""

    nats: float
    seconds: float
    updates: int


def textbook_best(parts: Parts, registry: Registry, *, seed: int) -> Mark:
    """The textbook loop's best held-out loss; stops when it has long not improved."""
    config = resolve({"recipe": "classic", "cell": "rnn"}, registry)
    tokenizer_class = registry.find("tokenizer", "char")
    options = tokenizer_class.options_from({"unknown": False})
    tokenizer = tokenizer_class.load().train(parts.training, options)
    ids = tokenizer.encode(parts.training)
    loop = TextbookLoop(ids, len(tokenizer.tokens), seed=seed)
    scored = build_model(Selection(config, registry), len(tokenizer.tokens))
    seconds, updates, best = 0.0, 0, Mark(float("inf"), 0.0, 0)
    epochs_without = 0
    for epoch in range(1, MOST_EPOCHS + 1):
        began = time.perf_counter()
        for starts in loop.random_windows():
            loop.update(starts)
            updates += 1
        seconds += time.perf_counter() - began
        scored.load_state_dict(loop.weights())
        nats = evaluate(
            scored, tokenizer, parts.validation, part="validation", unseen=unseen_share(ids)
        ).nats_per_character
        epochs_without += 1
        if nats < best.nats:
            best, epochs_without = Mark(nats, seconds, updates), 0
        if epoch % 10 == 0:
            print(f"  textbook epoch {epoch}: {nats:.4f} nats after {seconds:.1f} s", flush=True)
        if epochs_without >= PATIENCE:
            break
    return best


def default_reaching(nats: float, parts: Parts, config: JobConfig, registry: Registry) -> Mark:
    """When `default` is first seen at or below `nats`; looked at each epoch and half second."""
    unwatched = Parts(parts.training)  # training does not evaluate: this function does
    seconds, reached = 0.0, float("inf")
    began = time.perf_counter()
    run = Training(unwatched, config, registry, plan=KernelPlan.current())
    for event in run:
        seconds += time.perf_counter() - began
        held_out = run.trained().evaluate(parts.validation, part="validation")
        reached = held_out.nats_per_character
        if reached <= nats:
            return Mark(reached, seconds, event.step)
        began = time.perf_counter()
    return Mark(reached, float("inf"), 0)


def main() -> int:
    """Measures and prints; 0 when the target is met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    registry = Registry([versemill_plugins])
    songs = registry.find("corpus", "starter-zh").load()(NoOptions())
    config = resolve(apply_overrides({}, {"training.seed": seed}), registry)
    config = replace(config, training=replace(config.training, report_every=10**9))
    parts = split(songs, config.text)
    print(f"{len(parts.training)} characters, {torch.get_num_threads()} threads, seed {seed}")
    mark = textbook_best(parts, registry, seed=seed)
    print(f"textbook: best {mark.nats:.4f} nats after {mark.updates} updates, {mark.seconds:.1f} s")
    ours = default_reaching(mark.nats, parts, config, registry)
    print(f"default:  at {ours.nats:.4f} nats after {ours.updates} updates, {ours.seconds:.1f} s")
    ratio = mark.seconds / ours.seconds
    passed = ratio >= TARGET
    print(f"ratio {ratio:.1f}, target {TARGET:.0f}: {'PASS' if passed else 'FAIL'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
