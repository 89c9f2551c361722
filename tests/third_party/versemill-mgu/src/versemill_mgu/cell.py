"""The minimal gated unit. Shapes: B batch, T time, E input size, H hidden size, G = 2H."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from versemill.plugins import Cell

if TYPE_CHECKING:
    from versemill.plugins import Noise, State


class Mgu(Cell):
    """A recurrent unit whose one gate both forgets and resets.

        f_t = sigmoid(x_t W_f + h_{t-1} U_f + b_f)
        n_t = tanh(x_t W_n + (f_t * h_{t-1}) U_n + b_n)
        h_t = (1 - f_t) * h_{t-1} + f_t * n_t

    Weights are drawn uniformly from ±1/√H by torch's global generator. Source: G.-B. Zhou, J. Wu,
    C.-L. Zhang and Z.-H. Zhou, "Minimal gated unit for recurrent neural networks", 2016.
    """

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 0.0) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.input = nn.Linear(input_size, 2 * hidden_size)
        self.gate = nn.Linear(hidden_size, hidden_size, bias=False)
        self.candidate = nn.Linear(hidden_size, hidden_size, bias=False)
        bound = hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        with torch.no_grad():
            self.input.bias[:hidden_size] = forget_bias

    def initial_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> State:
        """Zeros of shape [B, H]."""
        return (torch.zeros(batch_size, self.output_size, device=device, dtype=dtype),)

    def project(self, x_TBE: Tensor) -> Tensor:
        """`x W + b` of gate and candidate, for all times at once."""
        g_TBG: Tensor = self.input(x_TBE)
        return g_TBG

    def recur(
        self, g_TBG: Tensor, state: State, noise: Noise | None = None
    ) -> tuple[Tensor, State]:
        """The recurrence, one time after the other."""
        (h_BH,) = state
        outputs = []
        for f_BH, n_BH in zip(*g_TBG.chunk(2, dim=2), strict=True):
            f = torch.sigmoid(f_BH + self.gate(h_BH))
            n = torch.tanh(n_BH + self.candidate(f * h_BH))
            h_BH = torch.lerp(h_BH, n, f)
            outputs.append(h_BH)
        return torch.stack(outputs), (h_BH,)
