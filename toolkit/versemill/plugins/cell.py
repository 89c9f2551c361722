"""The cell contract: one recurrent layer.

A cell has two parts, so that the engine can compute what is not recurrent (`project`) outside the
time loop, for built-in and third-party cells. The network around the cells adds layers and dropout.
Only the core detaches, selects, joins and saves states.

Shapes: B batch, T time, E input size, V vocabulary, G what `project` returns, H output size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch import Generator

State: TypeAlias = tuple[Tensor, ...]
"""What a cell carries from id to id: a flat tuple of tensors, batch in dim 0."""

Noise: TypeAlias = tuple[Tensor, ...]
"""Masks that hold for one window."""

Step: TypeAlias = Callable[[Tensor, State], tuple[Tensor, State]]
"""`step(g_BG, state) -> (y_BH, state)`: one id, weights frozen."""


class Cell(nn.Module, ABC):
    """One recurrent layer. A minimal cell defines `__init__`, `initial_state` and `recur`.

    Attributes:
        output_size: H, the size of `y_TBH`; must be set by the subclass.
    """

    output_size: int

    @abstractmethod
    def initial_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> State:
        """The state before the first id, batch in dim 0 of every tensor."""

    @abstractmethod
    def recur(
        self, g_TBG: Tensor, state: State, noise: Noise | None = None
    ) -> tuple[Tensor, State]:
        """Runs the recurrence over a window.

        Rule: running T ids in chunks, each from the state after the chunk before, equals one
        pass. No randomness except in `noise`.

        Returns:
            The outputs `y_TBH` and the state after the last id.
        """

    def project(self, x_TBE: Tensor) -> Tensor:
        """The part that is not recurrent, `g_TBG`; the identity by default.

        Rule: pointwise in T and B, no state, no randomness. The engine may therefore call it on
        a whole embedding table and gather rows.
        """
        return x_TBE

    def project_one_hot(self, ids_TB: Tensor, size: int) -> Tensor:
        """`project` of one-hot vectors of `size`; override it if a gather gives the same."""
        one_hot = nn.functional.one_hot(ids_TB, size)
        dtype = next((p.dtype for p in self.parameters()), torch.get_default_dtype())
        return self.project(one_hot.to(dtype))

    def draw_noise(self, T: int, B: int, generator: Generator) -> Noise | None:
        """Masks for one training window (zoneout, recurrent dropout); none by default."""
        return None

    def prepare(self) -> Step:
        """A function for one id with frozen weights, for generation.

        The default runs `recur` on a window of one.
        """

        def step(g_BG: Tensor, state: State) -> tuple[Tensor, State]:
            y_TBH, state = self.recur(g_BG.unsqueeze(0), state)
            return y_TBH.squeeze(0), state

        return step
