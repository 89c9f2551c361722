"""The built-in cells in float64, against `torch.nn` or an independent loop.

Shapes: B batch, T time, E input size, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import versemill_plugins
from versemill.config.job import ModelOptions
from versemill.nn.network import LanguageModel
from versemill.plugins.estimates import cell_size
from versemill.plugins.registry import Registry
from versemill.plugins.selection import Selected
from versemill.testing.cells import floats_kept

if TYPE_CHECKING:
    from torch import Tensor

    from versemill.plugins import Cell, State

REGISTRY = Registry([versemill_plugins])
T, B, E, H = 7, 3, 4, 5
TORCH_GATES = {"rnn": [0], "gru": [0, 1, 2], "lstm": [0, 1, 3, 2]}  # torch's gate order in ours

VARIANTS = [
    pytest.param("rnn", {"nonlinearity": "tanh"}, id="rnn-tanh"),
    pytest.param("rnn", {"nonlinearity": "relu"}, id="rnn-relu"),
    pytest.param("gru", {"reset": "before"}, id="gru-before"),
    pytest.param("gru", {"reset": "after"}, id="gru-after"),
    pytest.param("lstm", {}, id="lstm"),
]
every_variant = pytest.mark.parametrize(("name", "options"), VARIANTS)
with_torch_twin = pytest.mark.parametrize(
    ("name", "options"), [v for v in VARIANTS if v.id != "gru-before"]
)


def build(name: str, options: dict[str, str], input_size: int = E) -> Cell:
    """A cell in float64 with every parameter random, biases too."""
    torch.manual_seed(3)
    cell: Cell = REGISTRY.find("cell", name).load()(input_size, H, **options).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.5)
    return cell


def random_state(cell: Cell) -> State:
    zeros = cell.initial_state(B, device=torch.device("cpu"), dtype=torch.float64)
    return tuple(torch.randn_like(z).requires_grad_() for z in zeros)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@every_variant
def test_the_estimate_is_all_that_is_kept(name: str, options: dict[str, str]) -> None:
    selected = Selected(registration=REGISTRY.find("cell", name), options=options)
    size = cell_size(selected, E, H)
    kept = floats_kept(build(name, options), E, times=100)
    assert size.activations <= kept < 1.02 * size.activations


def by_gate(name: str, columns: Tensor) -> Tensor:
    """`torch.nn`'s rows of gates as our gates, gate after gate."""
    gates = columns.unflatten(0, (-1, H))
    return gates[[TORCH_GATES[name].index(g) for g in range(len(gates))]].flatten(0, 1)


def to_torch(name: str, rows: Tensor) -> Tensor:
    """Our gates in `torch.nn`'s order."""
    return rows.unflatten(0, (-1, H))[TORCH_GATES[name]].flatten(0, 1)


def torch_twin(name: str, options: dict[str, str], cells: list[Cell]) -> nn.RNNBase:
    """A `torch.nn` network with copies of the weights of `cells`."""
    kinds = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
    extra = options if name == "rnn" else {}
    width = cells[0].weight_input.shape[0]
    twin: nn.RNNBase = kinds[name](width, H, num_layers=len(cells), **extra).double()
    with torch.no_grad():
        for layer, cell in enumerate(cells):
            twin.get_parameter(f"weight_ih_l{layer}").copy_(to_torch(name, cell.weight_input.t()))
            twin.get_parameter(f"weight_hh_l{layer}").copy_(to_torch(name, cell.weight_hidden.t()))
            twin.get_parameter(f"bias_ih_l{layer}").copy_(to_torch(name, cell.bias))
            bias_hidden = twin.get_parameter(f"bias_hh_l{layer}").zero_()
            if name == "gru":
                bias_hidden[2 * H :] = cell.bias_hidden
    return twin


def gradients_of_twin(name: str, twin: nn.RNNBase, layer: int) -> dict[str, Tensor]:
    def gradient(parameter: str) -> Tensor:
        return by_gate(name, twin.get_parameter(f"{parameter}_l{layer}").grad)

    gradients = {
        "weight_input": gradient("weight_ih").t(),
        "weight_hidden": gradient("weight_hh").t(),
        "bias": gradient("bias_ih"),
    }
    if name == "gru":
        gradients["bias_hidden"] = gradient("bias_hh")[2 * H :]
    return gradients


def textbook_gru(cell: Cell, x_TBE: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The GRU of the textbook, reset gate before the product, gate by gate."""
    W_xr, W_xz, W_xn = cell.weight_input.chunk(3, dim=1)
    W_hr, W_hz, W_hn = cell.weight_hidden.chunk(3, dim=1)
    b_r, b_z, b_n = cell.bias.chunk(3)
    outputs = []
    for x in x_TBE:
        reset = torch.sigmoid(x @ W_xr + h @ W_hr + b_r)
        update = torch.sigmoid(x @ W_xz + h @ W_hz + b_z)
        candidate = torch.tanh(x @ W_xn + (reset * h) @ W_hn + b_n)
        h = update * h + (1 - update) * candidate
        outputs.append(h)
    return torch.stack(outputs), h


def weighted(tensors: tuple[Tensor, ...]) -> Tensor:
    """A scalar in which every output counts differently."""
    torch.manual_seed(5)
    return sum((torch.randn_like(t) * t).sum() for t in tensors)


@with_torch_twin
def test_forward_and_gradients_equal_torch(name: str, options: dict[str, str]) -> None:
    cell = build(name, options)
    twin = torch_twin(name, options, [cell])
    state = random_state(cell)
    x = torch.randn(T, B, E, dtype=torch.float64, requires_grad=True)
    ours = cell.recur(cell.project(x), state)

    their_state = tuple(s.detach().clone().requires_grad_() for s in state)
    their_x = x.detach().clone().requires_grad_()
    stacked = tuple(s.unsqueeze(0) for s in their_state)
    y, after = twin(their_x, stacked if name == "lstm" else stacked[0])
    theirs = (y, tuple(s.squeeze(0) for s in (after if name == "lstm" else (after,))))

    close(ours[0], theirs[0])
    for mine, other in zip(ours[1], theirs[1], strict=True):
        close(mine, other)
    weighted((ours[0], *ours[1])).backward()
    weighted((theirs[0], *theirs[1])).backward()
    close(x.grad, their_x.grad)
    for mine, other in zip(state, their_state, strict=True):
        close(mine.grad, other.grad)
    expected = gradients_of_twin(name, twin, 0)
    for parameter, value in cell.named_parameters():
        close(value.grad, expected[parameter])


def test_gru_with_reset_before_equals_the_textbook_loop() -> None:
    cell = build("gru", {"reset": "before"})
    (h0,) = random_state(cell)
    x = torch.randn(T, B, E, dtype=torch.float64, requires_grad=True)
    inputs = [x, h0, *cell.parameters()]
    y, (h,) = cell.recur(cell.project(x), (h0,))
    expected = textbook_gru(cell, x, h0)

    close(y, expected[0])
    close(h, expected[1])
    ours = torch.autograd.grad(weighted((y, h)), inputs)
    for mine, other in zip(ours, torch.autograd.grad(weighted(expected), inputs), strict=True):
        close(mine, other)


@every_variant
def test_gradients_are_those_of_finite_differences(name: str, options: dict[str, str]) -> None:
    cell = build(name, options)
    state = random_state(cell)
    x = torch.randn(2, B, E, dtype=torch.float64, requires_grad=True)

    def run(x_TBE: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        y, after = cell.recur(cell.project(x_TBE), rest[: len(state)])
        return (y, *after)

    assert torch.autograd.gradcheck(run, (x, *state, *cell.parameters()))


@every_variant
@pytest.mark.parametrize("cut", [1, 3, T - 1])
def test_chunks_equal_one_pass(name: str, options: dict[str, str], cut: int) -> None:
    cell = build(name, options)
    state = random_state(cell)
    inputs = [*state, *cell.parameters()]
    g = cell.project(torch.randn(T, B, E, dtype=torch.float64))
    whole, after = cell.recur(g, state)
    first, between = cell.recur(g[:cut], state)
    second, last = cell.recur(g[cut:], between)

    close(torch.cat([first, second]), whole)
    for mine, other in zip(last, after, strict=True):
        close(mine, other)
    chunked = torch.autograd.grad(
        weighted((torch.cat([first, second]), *last)), inputs, retain_graph=True
    )
    for mine, other in zip(
        chunked, torch.autograd.grad(weighted((whole, *after)), inputs), strict=True
    ):
        close(mine, other)


@every_variant
def test_project_is_pointwise(name: str, options: dict[str, str]) -> None:
    cell = build(name, options)
    x = torch.randn(T, B, E, dtype=torch.float64)
    one_by_one = torch.stack(
        [torch.cat([cell.project(x[t, b].view(1, 1, E))[0] for b in range(B)]) for t in range(T)]
    )
    close(cell.project(x), one_by_one)


@every_variant
def test_project_one_hot_equals_project_of_one_hot(name: str, options: dict[str, str]) -> None:
    cell = build(name, options, input_size=9)
    ids = torch.randint(9, (T, B))
    one_hot = nn.functional.one_hot(ids, 9).double()
    close(cell.project_one_hot(ids, 9), cell.project(one_hot))


@every_variant
def test_prepared_steps_equal_recur(name: str, options: dict[str, str]) -> None:
    cell = build(name, options)
    state = random_state(cell)
    g = cell.project(torch.randn(T, B, E, dtype=torch.float64))
    y, after = cell.recur(g, state)
    step = cell.prepare()
    for t in range(T):
        y_BH, state = step(g[t], state)
        close(y_BH, y[t])
    for mine, other in zip(state, after, strict=True):
        close(mine, other)


@every_variant
def test_recur_leaves_its_inputs_alone(name: str, options: dict[str, str]) -> None:
    cell = build(name, options)
    state = random_state(cell)
    g = cell.project(torch.randn(T, B, E, dtype=torch.float64))
    before = [t.detach().clone() for t in (g, *state)]
    y, after = cell.recur(g, state)
    weighted((y, *after)).backward()
    for now, then in zip((g, *state), before, strict=True):
        assert torch.equal(now, then)


@every_variant
def test_the_initial_state_is_zero_with_the_batch_first(name: str, options: dict[str, str]) -> None:
    cell = build(name, options)
    state = cell.initial_state(B, device=torch.device("cpu"), dtype=torch.float64)
    for tensor in state:
        assert torch.equal(tensor, torch.zeros(B, H, dtype=torch.float64))


def test_the_forget_gate_of_a_new_lstm_is_open() -> None:
    cell = REGISTRY.find("cell", "lstm").load()(E, H)
    assert cell.bias.tolist() == [0] * H + [1] * H + [0] * 2 * H


@with_torch_twin
@pytest.mark.parametrize("embedding_size", [E, 0], ids=["embedding", "one-hot"])
def test_two_layers_equal_torch(name: str, options: dict[str, str], embedding_size: int) -> None:
    V = 9
    sizes = ModelOptions(hidden_size=H, layers=2, embedding_size=embedding_size)
    model = LanguageModel(V, sizes, lambda width, _: build(name, options, input_size=width))
    model.double()
    twin = torch_twin(name, options, model.layers)
    ids = torch.randint(V, (T, B))
    states = tuple(random_state(cell) for cell in model.layers)
    y, after = model(ids, states)

    table = torch.eye(V).double() if model.embedding is None else model.embedding.detach().clone()
    table.requires_grad_()
    stacked = tuple(torch.stack(tensors).detach() for tensors in zip(*states, strict=True))
    expected, last = twin(table[ids], stacked if name == "lstm" else stacked[0])
    close(y, expected)
    for mine, other in zip(
        zip(*after, strict=True), last if name == "lstm" else (last,), strict=True
    ):
        close(torch.stack(mine), other)

    weighted((y,)).backward()
    weighted((expected,)).backward()
    if model.embedding is not None:
        close(model.embedding.grad, table.grad)
    for layer, cell in enumerate(model.layers):
        gradients = gradients_of_twin(name, twin, layer)
        for parameter, value in cell.named_parameters():
            close(value.grad, gradients[parameter])
