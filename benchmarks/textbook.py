"""A plain textbook loop: the character-level recurrent network as tutorials write it.

One-hot vectors, matrix products with them, a Python loop over the steps, automatic
differentiation, clipping of the global norm, plain SGD. It shares no code with versemill's cells,
loss or optimizer, so that it can serve as the other side of a comparison, of speed and of figures
alike.

Shapes: B batch, T time, V vocabulary, H hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy, one_hot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor


class TextbookLoop:
    """Plain recurrent network, h = tanh(x W_xh + h W_hh + b_h), y = h W_hq + b_q, and its training.

    Weights start normal with mean 0 and standard deviation 0.01, biases 0.

    Args:
        ids: the training text.
        vocabulary_size: V.
        hidden_size: H.
        batch_size: B, windows in an update.
        window: T, characters in a window.
        learning_rate: of plain SGD.
        clip: θ; gradients are scaled by θ/norm when their global norm exceeds it.
        seed: of the initial weights and of the order of the windows.
        dtype: of the weights.
    """

    def __init__(
        self,
        ids: list[int],
        vocabulary_size: int,
        *,
        hidden_size: int = 256,
        batch_size: int = 32,
        window: int = 35,
        learning_rate: float = 100.0,
        clip: float = 0.01,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._ids = torch.tensor(ids)
        self._vocabulary_size = vocabulary_size
        self._hidden_size = hidden_size
        self._batch_size = batch_size
        self._window = window
        self._learning_rate = learning_rate
        self._clip = clip
        self._dtype = dtype
        self._generator = torch.Generator().manual_seed(seed)
        self.W_xh = self._normal(vocabulary_size, hidden_size)
        self.W_hh = self._normal(hidden_size, hidden_size)
        self.b_h = torch.zeros(hidden_size, dtype=dtype, requires_grad=True)
        self.W_hq = self._normal(hidden_size, vocabulary_size)
        self.b_q = torch.zeros(vocabulary_size, dtype=dtype, requires_grad=True)

    @property
    def parameters(self) -> list[Tensor]:
        """Every weight matrix and bias."""
        return [self.W_xh, self.W_hh, self.b_h, self.W_hq, self.b_q]

    def random_windows(self) -> Iterator[Tensor]:
        """Start positions of each batch of one epoch, [B]: adjacent windows in random order."""
        windows = (len(self._ids) - 1) // self._window
        order = torch.randperm(windows, generator=self._generator) * self._window
        for first in range(0, windows - self._batch_size + 1, self._batch_size):
            yield order[first : first + self._batch_size]

    def update(self, starts: Tensor) -> float:
        """One update on the windows at `starts`, from zero state; returns the batch's loss."""
        at = starts.unsqueeze(1) + torch.arange(self._window)
        X_BT, Y_BT = self._ids[at], self._ids[at + 1]
        logits = self._forward(X_BT)
        loss = cross_entropy(logits, Y_BT.t().reshape(-1))
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        self._descend()
        return loss.item()

    def weights(self) -> dict[str, Tensor]:
        """Copies of the weights under the names of a one-layer `classic` model of versemill."""
        return {
            "cells.0.weight_input": self.W_xh.detach().clone(),
            "cells.0.weight_hidden": self.W_hh.detach().clone(),
            "cells.0.bias": self.b_h.detach().clone(),
            "output_weight": self.W_hq.detach().t().clone(),
            "output_bias": self.b_q.detach().clone(),
        }

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Takes over weights named as `weights` returns them."""
        with torch.no_grad():
            self.W_xh.copy_(weights["cells.0.weight_input"])
            self.W_hh.copy_(weights["cells.0.weight_hidden"])
            self.b_h.copy_(weights["cells.0.bias"])
            self.W_hq.copy_(weights["output_weight"].t())
            self.b_q.copy_(weights["output_bias"])

    def _normal(self, *shape: int) -> Tensor:
        values = torch.randn(*shape, generator=self._generator, dtype=self._dtype) * 0.01
        return values.requires_grad_()

    def _forward(self, X_BT: Tensor) -> Tensor:
        """Logits [T·B, V]."""
        H = torch.zeros(X_BT.shape[0], self._hidden_size, dtype=self._dtype)
        outputs = []
        for ids_B in X_BT.t():
            X = one_hot(ids_B, self._vocabulary_size).to(self._dtype)
            H = torch.tanh(X @ self.W_xh + H @ self.W_hh + self.b_h)
            outputs.append(H @ self.W_hq + self.b_q)
        return torch.cat(outputs, dim=0)

    def _descend(self) -> None:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.stack([(gradient**2).sum() for gradient in gradients]).sum().sqrt().item()
        if norm > self._clip:
            for gradient in gradients:
                gradient.mul_(self._clip / norm)
        with torch.no_grad():
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.sub_(self._learning_rate * gradient)
