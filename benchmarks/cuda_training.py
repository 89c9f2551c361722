"""Training on one CUDA device: characters/s beside `torch.nn` (cuDNN), fp32, as a user writes it.

    python -m benchmarks.cuda_training [OUT.json]

Both sides: embedding of the hidden size, one cell, a linear layer, fused AdamW, clipping, the same
windows. Prints a table and, when asked, writes it as JSON. There is no target yet: it reports.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import versemill_plugins
from versemill.nn.machine import KernelPlan
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.plugins.run_events import EpochReport
from versemill.text.splitting import Parts
from versemill.training.run import Training

WINDOW, BATCH, STEPS, REPEATS = 64, 64, 40, 3
SHAPES = [("lstm", 512), ("gru", 512), ("lstm", 1024), ("gru", 1024)]


def text() -> str:
    """Enough text for `STEPS` steps of an epoch, over 65 characters."""
    generator = torch.Generator().manual_seed(1)
    letters = sorted({chr(33 + i) for i in range(65)})
    ids = torch.randint(65, (BATCH * (WINDOW * STEPS + 1),), generator=generator)
    return "".join(letters[i] for i in ids.tolist())


class Peer(nn.Module):
    """What a user writes in ten lines."""

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(65, hidden)
        self.cell = (nn.LSTM if cell == "lstm" else nn.GRU)(hidden, hidden)
        self.output = nn.Linear(hidden, 65)

    def forward(self, ids_TB: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Logits [T, B, V] and the state after the window."""
        y_TBH, state = self.cell(self.embedding(ids_TB), state)
        return self.output(y_TBH), state


def peer_speed(cell: str, hidden: int, ids: torch.Tensor) -> float:
    """Characters per second of the ten lines."""
    model = Peer(cell, hidden).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    streams = ids[: BATCH * (len(ids) // BATCH)].view(BATCH, -1).t()
    state: Any = None
    begun = 0.0
    for step in range(STEPS):
        if step == STEPS // 4:  # after warming up
            torch.cuda.synchronize()
            begun = time.monotonic()
        window = streams[step * WINDOW : (step + 1) * WINDOW + 1]
        logits, state = model(window[:-1], state)
        state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), window[1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    torch.cuda.synchronize()
    return BATCH * WINDOW * (STEPS - STEPS // 4) / (time.monotonic() - begun)


def our_speed(cell: str, hidden: int, training_text: str) -> float:
    """Characters per second of the second of two epochs of a job's training loop."""
    table = {
        "recipe": "default",
        "cell": cell,
        "prefixes": [],
        "tokenizer_options": {"unknown": False},
        "model": {
            "hidden_size": hidden,
            "embedding_size": hidden,
            "dropout": 0.0,
            "embedding_dropout": 0.0,
            "tied": False,
        },
        "training": {
            "epochs": 2,
            "batch_size": BATCH,
            "window": WINDOW,
            "report_every": 100,
            "clip_norm": 1.0,
            "weight_decay": 0.01,
        },
    }
    if cell == "gru":
        table["cell_options"] = {"reset": "after"}
    plan = KernelPlan.current(device="cuda", threads=1)
    plan.apply()
    job = resolve(table, Registry([versemill_plugins]))
    run = Training(Parts(training_text, (), ()), job, Registry([versemill_plugins]), plan=plan)
    ends = [time.monotonic() for event in run if isinstance(event, EpochReport)]
    torch.use_deterministic_algorithms(mode=False)
    steps = run.step // 2
    return BATCH * WINDOW * steps / (ends[1] - ends[0])


def main() -> int:
    """Measures every shape in interleaved repeats."""
    training_text = text()
    letters = sorted(set(training_text))
    ids = torch.tensor([letters.index(c) for c in training_text], device="cuda")
    rows = []
    for cell, hidden in SHAPES:
        pairs = [
            (our_speed(cell, hidden, training_text), peer_speed(cell, hidden, ids))
            for _ in range(REPEATS)
        ]
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        rows.append({"cell": cell, "hidden": hidden, "versemill": ours, "nn": theirs})
        print(
            f"{cell} {hidden}: {ours:,.0f} against {theirs:,.0f} characters/s ({ours / theirs:.2f})"
        )
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "training": rows}
    for path in sys.argv[1:]:
        Path(path).write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
