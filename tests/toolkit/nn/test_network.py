"""The network around the cells. Shapes: B batch, T time, V vocabulary, E embedding, H hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from small_runs import REGISTRY, config
from versemill.config.job import ModelOptions
from versemill.nn import network
from versemill.nn.network import LanguageModel, build_model, detached
from versemill.plugins.cell import Cell
from versemill.plugins.selection import Selection

if TYPE_CHECKING:
    from torch import Tensor

    from versemill.plugins.cell import Noise, State

V, T, B = 7, 5, 3


class Passing(Cell):
    """A third-party minimal cell: passes its input on, without weights or memory."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def initial_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> State:
        return (torch.zeros(batch_size, 1, device=device, dtype=dtype),)

    def recur(
        self, g_TBG: Tensor, state: State, noise: Noise | None = None
    ) -> tuple[Tensor, State]:
        return g_TBG, state


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that is made while the block lasts."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.elements = max(self.elements, made.numel())
        return made


class Narrow(Passing):
    """A stranger's cell of one feature, which takes one-hot vectors as they are."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.output_size = 1

    def project(self, x_TBE: Tensor) -> Tensor:
        return x_TBE[..., :1]


def built(cell: str = "gru", **options: object) -> LanguageModel:
    sizes = {"hidden_size": 6, "embedding_size": 4, **options}
    torch.manual_seed(2)
    kind = REGISTRY.find("cell", cell).load()
    return LanguageModel(V, ModelOptions(**sizes), kind).double()


def passing(**options: object) -> LanguageModel:
    sizes = {"hidden_size": 8, "embedding_size": 8, **options}
    return LanguageModel(V, ModelOptions(**sizes), Passing)


def some_ids(T: int = T, B: int = B) -> Tensor:
    return torch.randint(V, (T, B), generator=torch.Generator().manual_seed(4))


def masks(model: LanguageModel, seed: int) -> Tensor:
    """Where a model of ones passes its input on, [T, B, E]."""
    torch.nn.init.ones_(model.embedding)
    generator = torch.Generator().manual_seed(seed)
    return model(some_ids(), model.initial_state(B), generator)[0].detach()


def test_an_untied_model_has_output_weights_of_its_own() -> None:
    model = built()
    assert model.output_weight.shape == (V, 6)
    assert model.join is None


def test_a_tied_model_scores_by_its_embedding() -> None:
    model = built(tied=True, embedding_size=6)
    assert model.output_weight is None
    y = torch.randn(2, 6, dtype=torch.float64)
    expected = y @ model.embedding.t() + model.output_bias
    torch.testing.assert_close(model.logits(y), expected)


def test_a_tied_model_learns_its_embedding_from_both_ends() -> None:
    model = built(tied=True, embedding_size=6)
    ids = torch.zeros(T, B, dtype=torch.int64)  # only id 0 is read, every id is scored
    y, _ = model(ids, model.initial_state(B))
    model.loss(y, ids).backward()
    assert (model.embedding.grad.abs().sum(dim=1) > 0).all()


def test_a_join_stands_between_sizes_that_differ() -> None:
    model = built(tied=True, embedding_size=4)
    assert model.join.weight.shape == (4, 6)
    y, _ = model(some_ids(), model.initial_state(B))
    assert y.shape == (T, B, 4)
    assert model.logits(y).shape == (T, B, V)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize(
    "options",
    [{}, {"layers": 3}, {"embedding_size": 0}, {"tied": True}, {"tied": True, "embedding_size": 6}],
    ids=["plain", "layers", "one-hot", "join", "tied"],
)
def test_the_stepper_equals_forward(cell: str, options: dict[str, object]) -> None:
    model = built(cell, **options)
    ids = some_ids()
    y, after = model(ids, model.initial_state(B))
    step, states = model.stepper(), model.initial_state(B)
    for t in range(T):
        logits, states = step(ids[t], states)
        torch.testing.assert_close(logits, model.logits(y[t]), rtol=1e-9, atol=1e-12)
    for mine, other in zip(states, after, strict=True):
        for one, two in zip(mine, other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("options", [{}, {"layers": 2}, {"embedding_size": 0}, {"tied": True}])
def test_the_stepper_without_a_table_equals_the_one_with(
    cell: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ids = built(cell, **options), some_ids()
    with_table = model.stepper()(ids[0], model.initial_state(B))
    monkeypatch.setattr(network, "_TABLE_ALWAYS", 0)
    monkeypatch.setattr(network, "_TABLE_PER_WEIGHT", 0)
    without = model.stepper()(ids[0], model.initial_state(B))
    torch.testing.assert_close(without, with_table, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("vocabulary_size", "sizes"),
    [
        (200_000, {"hidden_size": 512, "embedding_size": 1, "tied": True}),  # [V, G]: 1.2 GB
        (12_000, {"hidden_size": 1, "embedding_size": 0}),  # one-hot [V, V]: 1.2 GB
    ],
)
def test_the_steppers_memory_is_in_proportion_to_the_weights(
    vocabulary_size: int, sizes: dict[str, Any]
) -> None:
    cell = REGISTRY.find("cell", "gru").load() if sizes["embedding_size"] else Narrow
    model = LanguageModel(vocabulary_size, ModelOptions(**sizes), cell)
    assert sum(parameter.numel() for parameter in model.parameters()) < 2_000_000
    with torch.no_grad(), Largest() as made:
        logits, _ = model.stepper()(torch.tensor([7]), model.initial_state(1))
    assert logits.shape == (1, vocabulary_size)
    assert made.elements < 1 << 24


def test_loss_is_the_mean_cross_entropy_of_the_logits() -> None:
    model = built()
    y, _ = model(some_ids(), model.initial_state(B))
    targets = some_ids().flip(0)
    expected = torch.nn.functional.cross_entropy(model.logits(y).flatten(0, 1), targets.flatten())
    torch.testing.assert_close(model.loss(y, targets), expected)


def test_projecting_the_table_equals_projecting_the_window() -> None:
    model = built()
    ids = some_ids(T=4, B=2 * V)  # more positions than ids: goes by the table
    outputs = [model(ids, model.initial_state(2 * V))[0]]
    # The same columns in windows smaller than the vocabulary: goes by the window.
    outputs.append(
        torch.cat([model(ids[:, [b]], model.initial_state(1))[0] for b in range(2 * V)], dim=1)
    )
    torch.testing.assert_close(*outputs, rtol=1e-9, atol=1e-12)
    gradients = [
        torch.autograd.grad((y * y).sum(), [model.embedding, *model.cells.parameters()])
        for y in outputs
    ]
    for table, window in zip(*gradients, strict=True):
        torch.testing.assert_close(table, window, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"embedding_dropout": 0.5}])
def test_a_dropout_mask_holds_for_the_window_and_for_one_row(options: dict[str, float]) -> None:
    y = masks(passing(**options), seed=1)
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert (y == y[:1]).all()
    assert not torch.equal(y[0, 0], y[0, 1])


def test_a_dropout_mask_is_drawn_from_the_generator() -> None:
    model = passing(dropout=0.5)
    assert torch.equal(masks(model, seed=1), masks(model, seed=1))
    assert not torch.equal(masks(model, seed=1), masks(model, seed=2))


def test_dropout_keeps_the_mean() -> None:
    model = passing(dropout=0.25, hidden_size=9_000, embedding_size=9_000)
    assert float(masks(model, seed=1).mean()) == pytest.approx(1, abs=0.02)  # 6 deviations


def test_dropout_stands_between_layers_too() -> None:
    # Of 8,000 features a half passes the mask after each of the two layers.
    model = passing(dropout=0.5, layers=2, embedding_size=8_000)
    assert float((masks(model, seed=1)[0, 0] > 0).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_evaluation_drops_nothing() -> None:
    model = passing(dropout=0.5, embedding_dropout=0.5)
    torch.nn.init.ones_(model.embedding)
    y, _ = model(some_ids(), model.initial_state(B))
    assert (y == 1).all()


@pytest.mark.parametrize("size", [4, 0])
def test_a_minimal_cell_serves_embedded_and_one_hot(size: int) -> None:
    model = passing(embedding_size=size)
    step = model.stepper()
    ids = some_ids()
    y, states = model(ids, model.initial_state(B))
    logits, _ = step(ids[0], states)
    torch.testing.assert_close(logits, model.logits(y[0]))


def test_the_weights_come_from_the_seed_alone() -> None:
    def weights(seed: int) -> Tensor:
        torch.rand(3)  # moves the global generator
        model = build_model(Selection(config(training={"seed": seed}), REGISTRY), V)
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    build_model(Selection(config(), REGISTRY), V)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_normal_initialisation_is_the_textbooks(cell: str) -> None:
    model = built(cell, initialization="normal", hidden_size=80, embedding_size=0)
    for name, parameter in model.state_dict().items():
        if parameter.dim() == 1:
            assert (parameter == 0).all(), name
        else:
            assert abs(float(parameter.mean())) < 0.002, name
            assert float(parameter.std()) == pytest.approx(0.01, rel=0.15), name


def test_detached_states_are_cut_from_their_graph() -> None:
    model = built("lstm", layers=2)
    _, states = model(some_ids(), model.initial_state(B))
    cut = detached(states)
    for layer, layer_cut in zip(states, cut, strict=True):
        for tensor, tensor_cut in zip(layer, layer_cut, strict=True):
            assert tensor.requires_grad
            assert not tensor_cut.requires_grad
            assert torch.equal(tensor, tensor_cut)
