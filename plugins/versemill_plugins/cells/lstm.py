"""The long short-term memory cell with a forget gate and no peepholes.

    i, f, o = σ(x_t W_x + b + h_{t-1} W_h)    g = tanh(x_t W_xg + b_g + h_{t-1} W_hg)
    c_t = f ⊙ c_{t-1} + i ⊙ g                 h_t = o ⊙ tanh(c_t)

Sources: S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997);
F. Gers et al., "Learning to forget", Neural Computation 12 (2000).
Gates stand in the order i, f, o, g, so that one sigmoid covers three of them.
Shapes: B batch, T time, E input size, H hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from versemill.plugins import Cell, Noise, State
from versemill_plugins.cells.weights import uniform

if TYPE_CHECKING:
    from collections.abc import Callable


class Lstm(Cell):
    """LSTM; state `(h_BH, c_BH)`. The forget gate's bias starts at 1, so that memory lasts."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.weight_input = uniform(input_size, 4 * hidden_size, hidden_size=hidden_size)
        self.weight_hidden = uniform(hidden_size, 4 * hidden_size, hidden_size=hidden_size)
        bias = torch.zeros(4, hidden_size)
        bias[1] = 1  # Jozefowicz et al. 2015, "An empirical exploration of recurrent networks"
        self.bias = nn.Parameter(bias.view(-1))

    def initial_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> State:
        """States of zeros."""
        zeros = torch.zeros(batch_size, self.output_size, device=device, dtype=dtype)
        return (zeros, zeros.clone())

    def project(self, x_TBE: Tensor) -> Tensor:
        """`x W_x + b` of all four gates."""
        return x_TBE @ self.weight_input + self.bias

    def project_one_hot(self, ids_TB: Tensor, size: int) -> Tensor:
        """Rows of `W_x`, which is what a product with one-hot vectors selects."""
        return nn.functional.embedding(ids_TB, self.weight_input) + self.bias

    def recur(
        self, g_TBG: Tensor, state: State, noise: Noise | None = None
    ) -> tuple[Tensor, State]:
        """The recurrence over a window."""
        apply: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Lstm.apply
        y_TBH, h_BH, c_BH = apply(g_TBG, self.weight_hidden, *state)
        return y_TBH, (h_BH, c_BH)


class _Lstm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, g: Tensor, weight: Tensor, h0: Tensor, c0: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        T, B, G = g.shape
        H = G // 4
        h, c = g.new_empty(T + 1, B, H), g.new_empty(T + 1, B, H)
        gates, tanh_c = g.new_empty(T, B, G), g.new_empty(T, B, H)
        h[0], c[0] = h0, c0
        for t in range(T):
            a = torch.addmm(g[t], h[t], weight, out=gates[t])
            a[:, : 3 * H].sigmoid_()
            a[:, 3 * H :].tanh_()
            torch.mul(a[:, H : 2 * H], c[t], out=c[t + 1]).addcmul_(a[:, :H], a[:, 3 * H :])
            torch.tanh(c[t + 1], out=tanh_c[t])
            torch.mul(a[:, 2 * H : 3 * H], tanh_c[t], out=h[t + 1])
        ctx.save_for_backward(weight, h, c, gates, tanh_c)
        return h[1:], h[T].clone(), c[T].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, dy: Tensor, dh_last: Tensor, dc_last: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight, h, c, gates, tanh_c = ctx.saved_tensors  # type: ignore[attr-defined]
        T, B, H = dy.shape
        i, f, o, g = gates.view(T, B, 4, H).unbind(2)
        # Local derivatives of all steps at once; the loop multiplies in what flows back.
        da = torch.empty_like(gates).view(T, B, 4, H)
        torch.mul(g * i, 1 - i, out=da[:, :, 0])
        torch.mul(c[:-1] * f, 1 - f, out=da[:, :, 1])
        torch.mul(tanh_c * o, 1 - o, out=da[:, :, 2])
        torch.mul(i, 1 - g * g, out=da[:, :, 3])
        dc_by_dh = o * (1 - tanh_c * tanh_c)
        dh, dc, weight_t = dh_last.clone(), dc_last.clone(), weight.t()
        for t in range(T - 1, -1, -1):
            dh += dy[t]
            dc.addcmul_(dh, dc_by_dh[t])
            da[t, :, 2].mul_(dh)
            da[t, :, :2].mul_(dc.unsqueeze(1))
            da[t, :, 3].mul_(dc)
            dc.mul_(f[t])
            torch.mm(da[t].view(B, 4 * H), weight_t, out=dh)
        dgates = da.view(T, B, 4 * H)
        dweight = h[:-1].reshape(T * B, H).t() @ dgates.view(T * B, 4 * H)
        return dgates, dweight, dh, dc
