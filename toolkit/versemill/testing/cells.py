"""The conformance suite of cells.

Shapes: B batch, T time, E input size, H hidden size, G what `project` returns.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from versemill.plugins.contracts import CellSize
from versemill.plugins.estimates import asked
from versemill.testing.suite import Suite, require

if TYPE_CHECKING:
    from versemill.plugins.cell import Cell, State
    from versemill.plugins.registry import Kind, Registration

T, B, E, H = 7, 3, 4, 5
SIZES = [(4, 5), (1, 1), (5, 3), (3, 8)]
"""Input and hidden size, for what depends on both."""
EXACT = 1e-9  # two ways to the same figure, in float64
NUMERIC = 1e-4  # a gradient by finite differences, in float64


class CellTests(Suite):
    """What every cell must keep; subclass it and set `name`."""

    kind: ClassVar[Kind] = "cell"

    def build(
        self,
        seed: int = 3,
        dtype: torch.dtype = torch.float64,
        sizes: tuple[int, int] = (E, H),
    ) -> Cell:
        """A new cell from E to H, its weights drawn from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cell: Cell = self.registration().load()(*sizes, **self.keywords())
        return cell.to(dtype)

    def test_shapes(self) -> None:
        """Outputs are [T, B, output_size]; states keep their shapes, batch first."""
        cell = self.build()
        state = _state(cell)
        y_TBH, after = cell.recur(cell.project(_input()), state)
        shapes, shapes_after = [s.shape for s in state], [s.shape for s in after]
        require(
            y_TBH.shape == (T, B, cell.output_size)
            and shapes == shapes_after
            and all(shape[0] == B for shape in shapes),
            f"output {tuple(y_TBH.shape)} with output_size {cell.output_size} for T {T} and "
            f"B {B}; states {shapes} before, {shapes_after} after",
            why="the next layer is built from output_size, and states are joined in dim 0",
            mend="set output_size in __init__; initial_state returns a tuple of [B, …] tensors",
        )

    def test_dtypes(self) -> None:
        """It computes in float32, float64 and bfloat16, and returns what it was given."""
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            cell = self.build(dtype=dtype)
            y_TBH, after = cell.recur(cell.project(_input().to(dtype)), _state(cell, dtype))
            got = {tensor.dtype for tensor in (y_TBH, *after)}
            require(
                got == {dtype} and bool(y_TBH.isfinite().all()),
                f"with inputs of {dtype} it returned {got}, or figures that are not finite",
                why="the next layer, and the next window's state, have the model's dtype",
                mend="make new tensors with new_zeros or dtype=…, not with torch.zeros alone",
            )

    def test_chunks_equal_the_whole(self) -> None:
        """A window in chunks gives what it gives in one pass."""
        cell, g = self._projected()
        whole, after = cell.recur(g.clone(), _state(cell))
        first, between = cell.recur(g[:3].clone(), _state(cell))
        second, last = cell.recur(g[3:].clone(), between)
        require(
            _near(torch.cat([first, second]), whole) and _all_near(last, after),
            "two chunks, the second from the state of the first, differ from one pass",
            why="training carries the state over windows; held-out text is scored in chunks",
            mend="everything that recur needs of the past belongs into the state",
        )

    def test_prepared_steps_equal_recur(self) -> None:
        """`prepare`'s function, step by step, gives what `recur` gives."""
        cell, g = self._projected()
        whole, after = cell.recur(g.clone(), _state(cell))
        step, state, ys = cell.prepare(), _state(cell), []
        for g_BG in g.clone():
            y_BH, state = step(g_BG, state)
            ys.append(y_BH)
        require(
            _near(torch.stack(ys), whole) and _all_near(state, after),
            "the prepared step differs from recur",
            why="lyrics would be written by another model than the one that was trained",
            mend="compare both formulas, or leave prepare out: the default runs recur",
        )

    def test_gradients_reach_every_parameter(self) -> None:
        """Every parameter gets a gradient, and all are finite."""
        cell = self.build()
        _total(cell, _input(), _state(cell)).backward()  # type: ignore[no-untyped-call]
        missing = [
            name
            for name, p in cell.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())
        ]
        require(
            not missing,
            f"no finite gradient for {', '.join(missing)}",
            why="what has no gradient is not trained, and one NaN spoils all weights",
            mend="use every parameter; no detach, .data or .item() on the way",
        )

    def test_gradients_are_right(self) -> None:
        """Gradients agree with finite differences."""
        cell, x, eps = self.build(), _input(), 1e-6
        state = _state(cell)
        values = [x, *cell.parameters()]
        x.requires_grad_()
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            _total(cell, x, state), values, allow_unused=True
        )
        generator = torch.Generator().manual_seed(6)
        along = [torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in values]
        slope = math.fsum(
            float((d * g).sum()) for d, g in zip(along, found, strict=True) if g is not None
        )
        ends = []
        with torch.no_grad():
            for move in (eps, -2 * eps):
                for value, direction in zip(values, along, strict=True):
                    value.add_(direction, alpha=move)
                ends.append(float(_total(cell, x, state)))
        measured = (ends[0] - ends[1]) / (2 * eps)
        require(
            abs(slope - measured) <= NUMERIC * max(1.0, abs(measured)),
            f"the gradient says {slope:.6g} where finite differences say {measured:.6g}",
            why="training goes in a wrong direction, often without failing",
            mend="check backward of your autograd function, and every detach",
        )

    def test_gradients_reach_the_initial_state(self) -> None:
        """The gradient flows back into the state a window begins with."""
        cell = self.build()
        state = tuple(s.detach().clone().requires_grad_() for s in _state(cell))
        found: tuple[Tensor | None, ...] = torch.autograd.grad(
            _total(cell, _input(), state), state, allow_unused=True
        )
        require(
            all(g is not None and bool(g.isfinite().all()) for g in found),
            "the initial state gets no finite gradient",
            why="the core alone decides where back-propagation is truncated",
            mend="do not detach or copy the state in recur",
        )

    def test_project_is_pointwise(self) -> None:
        """`project` treats every time and row alone."""
        cell, x = self.build(), _input()
        alone = torch.stack(
            [torch.cat([cell.project(x[t : t + 1, b : b + 1]) for b in range(B)], 1)[0]
             for t in range(T)]
        )  # fmt: skip
        require(
            _near(cell.project(x), alone),
            "project of a window differs from project of each time and row alone",
            why="the engine calls project on the whole embedding table and gathers rows",
            mend="what looks at other times belongs into recur; no norm over time or batch",
        )

    def test_project_one_hot_equals_project(self) -> None:
        """`project_one_hot` equals `project` of one-hot vectors."""
        cell = self.build()
        ids_TB = torch.arange(T * B).view(T, B) % E
        one_hot = torch.nn.functional.one_hot(ids_TB, E).double()
        require(
            _near(cell.project_one_hot(ids_TB, E), cell.project(one_hot)),
            "project_one_hot differs from project of one-hot vectors",
            why="models without an embedding would be other models",
            mend="gather rows of the input weights and add the bias, or leave it out",
        )

    def test_evaluation_draws_nothing(self) -> None:
        """Without noise nothing random is drawn."""
        cell, g = self._projected()
        before = torch.get_rng_state()
        cell.recur(g, _state(cell))
        cell.prepare()(g[0], _state(cell))
        require(
            torch.equal(before, torch.get_rng_state()),
            "torch's global random state has changed",
            why="looking at a run would change it, and held-out figures would vary",
            mend="draw masks in draw_noise, from its generator; recur only applies them",
        )

    def test_it_can_be_saved_and_loaded(self) -> None:
        """Weights loaded into a new cell give the same outputs."""
        cell, other, x = self.build(seed=1), self.build(seed=2), _input()
        other.load_state_dict(cell.state_dict())
        ours, theirs = (c.recur(c.project(x.clone()), _state(c))[0] for c in (cell, other))
        require(
            _near(ours, theirs),
            "a cell with the same state_dict gives other outputs",
            why="a job resumed from its checkpoint would be another one",
            mend="keep what is drawn or learned as nn.Parameter or register_buffer",
        )

    def test_it_is_deterministic(self) -> None:
        """The same seed gives the same weights and outputs."""
        x = _input()
        ours, theirs = (
            c.recur(c.project(x.clone()), _state(c))[0] for c in (self.build(), self.build())
        )
        require(
            torch.equal(ours, theirs),
            "two cells made from the same seed give different outputs",
            why="jobs can neither be repeated nor resumed bit for bit",
            mend="initialise from torch's global generator alone; keep no counters",
        )

    def test_inputs_are_left_alone(self) -> None:
        """`recur` does not write into its inputs."""
        cell, g = self._projected()
        state = _state(cell)
        before = [t.clone() for t in (g, *state)]
        cell.recur(g, state)
        require(
            all(torch.equal(now, then) for now, then in zip((g, *state), before, strict=True)),
            "recur has changed the tensors it was given",
            why="the engine uses them again: a table of projections, a kept state",
            mend="no in-place operation (ending in _) on g_TBG or the state",
        )

    def test_the_estimate_counts_its_parameters(self) -> None:
        """An estimate, where there is one, gives parameters and output size exactly."""
        for input_size, hidden_size in SIZES:
            said = self._estimate(input_size, hidden_size)
            if said is None:
                return
            cell = self.build(sizes=(input_size, hidden_size))
            counted = sum(parameter.numel() for parameter in cell.parameters())
            require(
                (said.parameters, said.output_size) == (counted, cell.output_size),
                f"from {input_size} to {hidden_size} the estimate says {said.parameters} "
                f"parameters and outputs of {said.output_size}; there are {counted}, and "
                f"{cell.output_size}",
                why="jobs are refused by it that would fit into memory, or let in that do not",
                mend="count every nn.Parameter: weights of input and state, biases",
            )

    def test_the_estimate_is_not_above_what_is_kept(self) -> None:
        """An estimate, where there is one, claims no more activations than are kept."""
        for input_size, hidden_size in SIZES:
            said = self._estimate(input_size, hidden_size)
            if said is None:
                return
            cell = self.build(sizes=(input_size, hidden_size))
            kept = floats_kept(cell, input_size)
            require(
                said.activations <= kept,
                f"from {input_size} to {hidden_size} the estimate says {said.activations} floats "
                f"kept for each id; {kept:.1f} are",
                why="jobs would be refused that fit into memory",
                mend="count what recur keeps for the backward pass, or say 0",
            )

    def _estimate(self, input_size: int, hidden_size: int) -> CellSize | None:
        return asked(self.selected(), CellSize, input_size, hidden_size)

    def _projected(self) -> tuple[Cell, Tensor]:
        cell = self.build()
        with torch.no_grad():
            return cell, cell.project(_input()).clone()


def _input() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(T, B, E, generator=generator, dtype=torch.float64)


def _state(cell: Cell, dtype: torch.dtype = torch.float64) -> State:
    return cell.initial_state(B, device=torch.device("cpu"), dtype=dtype)


def _total(cell: Cell, x_TBE: Tensor, state: State) -> Tensor:
    """A scalar in which every output counts differently."""
    y_TBH, after = cell.recur(cell.project(x_TBE), state)
    generator = torch.Generator().manual_seed(7)
    weighted = [
        (torch.randn(t.shape, generator=generator, dtype=t.dtype) * t).sum()
        for t in (y_TBH, *after)
    ]
    return torch.stack(weighted).sum()


def _near(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=EXACT, atol=EXACT)


def _all_near(ours: State, theirs: State) -> bool:
    return all(_near(a, b) for a, b in zip(ours, theirs, strict=True))


def floats_kept(cell: Cell, input_size: int, times: int = T) -> float:
    """Floats that a layer keeps for the backward pass for each id, its input and weights aside."""
    x_TBE = torch.randn(times, B, input_size, dtype=torch.float64)
    aside = {tensor.data_ptr() for tensor in (x_TBE, *cell.parameters())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = cell.recur(cell.project(x_TBE), _state(cell))  # held, so that nothing is freed
    del outputs
    return sum(size for place, size in kept.items() if place not in aside) / (times * B)


def seconds_a_window(registration: Registration) -> float:
    """Time for one training window of 32 times 35 ids, 128 to 256: the best of five."""
    cell: Cell = registration.load()(128, 256, **registration.validate({}))
    x_TBE = torch.randn(35, 32, 128)
    state = cell.initial_state(32, device=x_TBE.device, dtype=x_TBE.dtype)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        cell.recur(cell.project(x_TBE), state)[0].sum().backward()  # type: ignore[no-untyped-call]
        times.append(time.perf_counter() - begun)
    return min(times)
