"""The textbook's training loop, written out from its definitions and from nothing of ours.

One-hot inputs and plain matrix products, a Python loop over the characters, the mean
cross-entropy of the batch, gradients scaled by θ/norm when the norm exceeds θ (no epsilon), and
`w -= rate * gradient`.

Source: A. Zhang et al., "Dive into Deep Learning", chapters on recurrent networks.
Shapes: B batch, T time, V vocabulary, H hidden.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

Batch = tuple["Tensor", "Tensor"]  # inputs and targets, [B, T]
GATES = {"rnn": [""], "gru": ["r", "z", "n"], "lstm": ["i", "f", "o", "g"]}


def vocabulary(text: str) -> list[str]:
    return sorted(set(text))


def random_batches(ids: list[int], B: int, T: int, order: list[int] | None) -> Iterator[Batch]:
    """Windows at fixed offsets; `order` gives their order, else they are shuffled."""
    examples = list(range((len(ids) - 1) // T))
    if order is None:
        random.shuffle(examples)
    else:
        examples = order
    for i in range(0, len(examples) // B * B, B):
        starts = [example * T for example in examples[i : i + B]]
        x = torch.tensor([ids[s : s + T] for s in starts])
        y = torch.tensor([ids[s + 1 : s + T + 1] for s in starts])
        yield x, y


def consecutive_batches(ids: list[int], B: int, T: int) -> Iterator[Batch]:
    """Adjacent windows: the text in B rows, read from left to right."""
    length = len(ids) // B
    rows = torch.tensor(ids[: B * length]).view(B, length)
    for i in range(0, (length - 1) // T * T, T):
        yield rows[:, i : i + T], rows[:, i + 1 : i + T + 1]


class Textbook:
    """A character-level network of one layer.

    Args:
        cell: `rnn`, `gru` (reset gate before the product) or `lstm`.
        V: vocabulary size.
        H: hidden units.
        dtype: of the weights, drawn normal with standard deviation 0.01; biases are zero.
    """

    def __init__(self, cell: str, V: int, H: int, dtype: torch.dtype = torch.float32) -> None:
        self.cell, self.V, self.H, self.dtype = cell, V, H, dtype
        self.weights: dict[str, Tensor] = {}
        for gate in GATES[cell]:
            self.weights[f"W_x{gate}"] = 0.01 * torch.randn(V, H, dtype=dtype)
            self.weights[f"W_h{gate}"] = 0.01 * torch.randn(H, H, dtype=dtype)
            self.weights[f"b_{gate}"] = torch.zeros(H, dtype=dtype)
        self.weights["W_hq"] = 0.01 * torch.randn(H, V, dtype=dtype)
        self.weights["b_q"] = torch.zeros(V, dtype=dtype)
        for weight in self.weights.values():
            weight.requires_grad_()

    def zero_state(self, B: int) -> list[Tensor]:
        states = 2 if self.cell == "lstm" else 1
        return [torch.zeros(B, self.H, dtype=self.dtype) for _ in range(states)]

    def __call__(self, x_BT: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Scores of the next character, time after time, [T·B, V]."""
        scores = []
        for column in x_BT.t():
            one_hot = torch.nn.functional.one_hot(column, self.V).to(self.dtype)
            state = self._step(one_hot, state)
            scores.append(state[0] @ self.weights["W_hq"] + self.weights["b_q"])
        return torch.cat(scores), state

    def _step(self, x: Tensor, state: list[Tensor]) -> list[Tensor]:
        w, h = self.weights, state[0]

        def affine(gate: str, hidden: Tensor) -> Tensor:
            return x @ w[f"W_x{gate}"] + hidden @ w[f"W_h{gate}"] + w[f"b_{gate}"]

        if self.cell == "rnn":
            return [torch.tanh(affine("", h))]
        if self.cell == "gru":
            r, z = torch.sigmoid(affine("r", h)), torch.sigmoid(affine("z", h))
            n = torch.tanh(affine("n", r * h))
            return [z * h + (1 - z) * n]
        i, f, o = (torch.sigmoid(affine(gate, h)) for gate in "ifo")
        c = f * state[1] + i * torch.tanh(affine("g", h))
        return [o * torch.tanh(c), c]

    def update(
        self, x_BT: Tensor, y_BT: Tensor, state: list[Tensor], *, rate: float, theta: float
    ) -> tuple[float, list[Tensor]]:
        """One step of learning; returns its loss and the state for the next batch."""
        scores, state = self(x_BT, [s.detach() for s in state])
        targets = y_BT.t().reshape(-1)
        log_p = scores - scores.logsumexp(dim=1, keepdim=True)
        loss = -log_p[torch.arange(len(targets)), targets].mean()
        gradients = torch.autograd.grad(loss, list(self.weights.values()))
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        scale = theta / norm if norm > theta else 1.0
        with torch.no_grad():
            for weight, gradient in zip(self.weights.values(), gradients, strict=True):
                weight.sub_(rate * scale * gradient)
        return loss.item(), state

    def epoch(
        self, batches: Iterator[Batch], B: int, *, carry: bool, rate: float, theta: float
    ) -> list[float]:
        """Losses of one epoch; the state is carried over its batches or zero for each."""
        losses, state = [], self.zero_state(B)
        for x, y in batches:
            state = state if carry else self.zero_state(B)
            loss, state = self.update(x, y, state, rate=rate, theta=theta)
            losses.append(loss)
        return losses


def train(
    text: str, cell: str, *, H: int, B: int, T: int, epochs: int, carry: bool, seed: int
) -> float:
    """Perplexity of the last epoch of a whole textbook run."""
    torch.manual_seed(seed)
    random.seed(seed)
    characters = vocabulary(text)
    place = {character: i for i, character in enumerate(characters)}
    ids = [place[character] for character in text]
    network = Textbook(cell, len(characters), H)
    losses = [math.nan]
    for _ in range(epochs):
        batches = consecutive_batches(ids, B, T) if carry else random_batches(ids, B, T, None)
        losses = network.epoch(batches, B, carry=carry, rate=100.0, theta=0.01)
    return math.exp(sum(losses) / len(losses))
