"""The gated recurrent unit, with its reset gate before or after the recurrent product.

    r_t = σ(x_t W_xr + b_r + h_{t-1} W_hr)
    z_t = σ(x_t W_xz + b_z + h_{t-1} W_hz)
    before:  n_t = tanh(x_t W_xn + b_n + (r_t ⊙ h_{t-1}) W_hn)
    after:   n_t = tanh(x_t W_xn + b_n + r_t ⊙ (h_{t-1} W_hn + b_hn))
    h_t = z_t ⊙ h_{t-1} + (1 - z_t) ⊙ n_t

Sources: K. Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014
(before); the variant of cuDNN and `torch.nn.GRU` (after), which needs one product a step, not two.
Gates stand in the order r, z, n. Shapes: B batch, T time, E input size, H hidden size.
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


class Gru(Cell):
    """GRU; state `(h_BH,)`."""

    bias_hidden: nn.Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset: Literal["before", "after"] = "after",
    ) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.weight_input = uniform(input_size, 3 * hidden_size, hidden_size=hidden_size)
        self.weight_hidden = uniform(hidden_size, 3 * hidden_size, hidden_size=hidden_size)
        self.bias = nn.Parameter(torch.zeros(3 * hidden_size))
        after = reset == "after"
        self.bias_hidden = nn.Parameter(torch.zeros(hidden_size)) if after else None

    def initial_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> State:
        """A state of zeros."""
        return (torch.zeros(batch_size, self.output_size, device=device, dtype=dtype),)

    def project(self, x_TBE: Tensor) -> Tensor:
        """`x W_x + b` of all three gates."""
        return x_TBE @ self.weight_input + self.bias

    def project_one_hot(self, ids_TB: Tensor, size: int) -> Tensor:
        """Rows of `W_x`, which is what a product with one-hot vectors selects."""
        return nn.functional.embedding(ids_TB, self.weight_input) + self.bias

    def recur(
        self, g_TBG: Tensor, state: State, noise: Noise | None = None
    ) -> tuple[Tensor, State]:
        """The recurrence over a window."""
        before: Callable[..., tuple[Tensor, Tensor]] = _ResetBefore.apply
        after: Callable[..., tuple[Tensor, Tensor]] = _ResetAfter.apply
        if self.bias_hidden is None:
            y_TBH, h_BH = before(g_TBG, self.weight_hidden, state[0])
        else:
            y_TBH, h_BH = after(g_TBG, self.weight_hidden, self.bias_hidden, state[0])
        return y_TBH, (h_BH,)


class _ResetBefore(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, weight: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        T, B, G = g.shape
        H = G // 3
        weight_rz, weight_n = weight[:, : 2 * H], weight[:, 2 * H :]
        h, rz = g.new_empty(T + 1, B, H), g.new_empty(T, B, 2 * H)
        rh, n = g.new_empty(T, B, H), g.new_empty(T, B, H)
        h[0] = h0
        for t in range(T):
            torch.addmm(g[t, :, : 2 * H], h[t], weight_rz, out=rz[t]).sigmoid_()
            torch.mul(rz[t, :, :H], h[t], out=rh[t])
            torch.addmm(g[t, :, 2 * H :], rh[t], weight_n, out=n[t]).tanh_()
            torch.lerp(n[t], h[t], rz[t, :, H:], out=h[t + 1])
        ctx.save_for_backward(weight, h, rz, rh, n)
        return h[1:], h[T].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, dy: Tensor, dh_last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, h, rz, rh, n = ctx.saved_tensors  # type: ignore[attr-defined]
        T, B, H = dy.shape
        r, z, before = rz[..., :H], rz[..., H:], h[:-1]
        weight_rz_t, weight_n_t = weight[:, : 2 * H].t(), weight[:, 2 * H :].t()
        # Local derivatives of all steps at once; the loop multiplies in what flows back.
        da_rz, da_n = torch.empty_like(rz), (1 - z) * (1 - n * n)
        torch.mul(before * r, 1 - r, out=da_rz[..., :H])
        torch.mul((before - n) * z, 1 - z, out=da_rz[..., H:])
        dh, drh = dh_last.clone(), torch.empty_like(dh_last)
        for t in range(T - 1, -1, -1):
            dh += dy[t]
            da_rz[t, :, H:].mul_(dh)
            torch.mm(da_n[t].mul_(dh), weight_n_t, out=drh)
            da_rz[t, :, :H].mul_(drh)
            dh.mul_(z[t]).addcmul_(drh, r[t]).addmm_(da_rz[t], weight_rz_t)
        flat_rz, flat_n = da_rz.view(T * B, 2 * H), da_n.view(T * B, H)
        dweight = torch.cat(
            [before.reshape(T * B, H).t() @ flat_rz, rh.view(T * B, H).t() @ flat_n], dim=1
        )
        return torch.cat([da_rz, da_n], dim=2), dweight, dh


class _ResetAfter(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, g: Tensor, weight: Tensor, bias_n: Tensor, h0: Tensor
    ) -> tuple[Tensor, Tensor]:
        T, B, G = g.shape
        H = G // 3
        h, rz = g.new_empty(T + 1, B, H), g.new_empty(T, B, 2 * H)
        q, n = g.new_empty(T, B, H), g.new_empty(T, B, H)
        product = g.new_empty(B, G)
        h[0] = h0
        for t in range(T):
            torch.mm(h[t], weight, out=product)
            torch.add(g[t, :, : 2 * H], product[:, : 2 * H], out=rz[t]).sigmoid_()
            torch.add(product[:, 2 * H :], bias_n, out=q[t])
            torch.addcmul(g[t, :, 2 * H :], rz[t, :, :H], q[t], out=n[t]).tanh_()
            torch.lerp(n[t], h[t], rz[t, :, H:], out=h[t + 1])
        ctx.save_for_backward(weight, h, rz, q, n)
        return h[1:], h[T].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, dy: Tensor, dh_last: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight, h, rz, q, n = ctx.saved_tensors  # type: ignore[attr-defined]
        T, B, H = dy.shape
        r, z, before = rz[..., :H], rz[..., H:], h[:-1]
        # Gradients of r, z and q side by side: what flows through the one recurrent product.
        local = torch.empty(T, B, 3, H, dtype=dy.dtype, device=dy.device)
        da_n = (1 - z) * (1 - n * n)
        torch.mul(da_n * q * r, 1 - r, out=local[:, :, 0])
        torch.mul((before - n) * z, 1 - z, out=local[:, :, 1])
        torch.mul(da_n, r, out=local[:, :, 2])
        dh, weight_t = dh_last.clone(), weight.t()
        for t in range(T - 1, -1, -1):
            dh += dy[t]
            da_n[t].mul_(dh)
            local[t].mul_(dh.unsqueeze(1))
            dh.mul_(z[t]).addmm_(local[t].view(B, 3 * H), weight_t)
        dweight = before.reshape(T * B, H).t() @ local.view(T * B, 3 * H)
        dbias_n = local[:, :, 2].sum((0, 1))
        return torch.cat([local[:, :, :2].reshape(T, B, 2 * H), da_n], dim=2), dweight, dbias_n, dh
