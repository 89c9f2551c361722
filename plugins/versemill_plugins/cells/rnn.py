"""The plain (Elman) recurrent cell.

    h_t = φ(x_t W_x + b + h_{t-1} W_h),   φ = tanh or relu

Source: J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).
Shapes: B batch, T time, E input size, H hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from versemill.plugins import Cell, Noise, State
from versemill_plugins.cells.weights import uniform

if TYPE_CHECKING:
    from collections.abc import Callable


class Rnn(Cell):
    """Elman cell; state `(h_BH,)`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.relu = nonlinearity == "relu"
        self.weight_input = uniform(input_size, hidden_size, hidden_size=hidden_size)
        self.weight_hidden = uniform(hidden_size, hidden_size, hidden_size=hidden_size)
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> State:
        """A state of zeros."""
        return (torch.zeros(batch_size, self.output_size, device=device, dtype=dtype),)

    def project(self, x_TBE: Tensor) -> Tensor:
        """`x W_x + b`."""
        return x_TBE @ self.weight_input + self.bias

    def project_one_hot(self, ids_TB: Tensor, size: int) -> Tensor:
        """Rows of `W_x`, which is what a product with one-hot vectors selects."""
        return nn.functional.embedding(ids_TB, self.weight_input) + self.bias

    def recur(
        self, g_TBG: Tensor, state: State, noise: Noise | None = None
    ) -> tuple[Tensor, State]:
        """The recurrence over a window."""
        apply: Callable[..., tuple[Tensor, Tensor]] = _Elman.apply
        y_TBH, h_BH = apply(g_TBG, self.weight_hidden, state[0], self.relu)
        return y_TBH, (h_BH,)


class _Elman(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        g_TBH: Tensor,
        weight_HH: Tensor,
        h0_BH: Tensor,
        relu: bool,
    ) -> tuple[Tensor, Tensor]:
        T = g_TBH.shape[0]
        h = g_TBH.new_empty((T + 1, *h0_BH.shape))
        h[0] = h0_BH
        for t in range(T):
            after = torch.addmm(g_TBH[t], h[t], weight_HH, out=h[t + 1])
            if relu:
                after.relu_()
            else:
                after.tanh_()
        ctx.save_for_backward(weight_HH, h)
        ctx.relu = relu
        return h[1:], h[T].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, dy_TBH: Tensor, dh_BH: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        weight_HH, h = ctx.saved_tensors  # type: ignore[attr-defined]
        T, _, H = dy_TBH.shape
        y = h[1:]
        # Starts as φ'(a) and becomes the gradient of the pre-activations, step by step.
        da = (y > 0).to(y.dtype) if ctx.relu else 1 - y * y  # type: ignore[attr-defined]
        dh = dh_BH.clone()
        weight_t = weight_HH.t()
        for t in range(T - 1, -1, -1):
            dh += dy_TBH[t]
            torch.mm(da[t].mul_(dh), weight_t, out=dh)
        dweight = h[:-1].reshape(-1, H).t() @ da.reshape(-1, H)
        return da, dweight, dh, None
