"""The network around the cells: embedding or one-hot input, a stack of cells, the output layer.

Shapes: B batch, T time, V vocabulary, E embedding, G projected input, H hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch import Tensor, nn

from versemill.nn.cross_entropy import linear_cross_entropy
from versemill.plugins.cell import Cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from versemill.config.job import ModelOptions
    from versemill.plugins.cell import Noise, State, Step
    from versemill.plugins.selection import Selection

States: TypeAlias = "tuple[State, ...]"
"""The state of every layer, bottom first."""

_TABLE_PER_WEIGHT = 8
_TABLE_ALWAYS = 1 << 24  # elements; 64 MiB in float32


class LanguageModel(nn.Module):
    """Predicts each next id from the ids before it.

    Args:
        vocabulary_size: V.
        options: sizes, dropout, weight tying and initialisation.
        build_cell: makes the cell of one layer from its input size and hidden size.
    """

    embedding: nn.Parameter | None
    output_weight: nn.Parameter | None

    def __init__(
        self,
        vocabulary_size: int,
        options: ModelOptions,
        build_cell: Callable[[int, int], Cell],
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self._dropout = options.dropout
        self._embedding_dropout = options.embedding_dropout
        one_hot = options.embedding_size == 0
        width = options.embedding_size or vocabulary_size
        self.embedding = None if one_hot else nn.Parameter(_uniform(vocabulary_size, width))
        cells: list[Cell] = []
        for _ in range(options.layers):
            cells.append(build_cell(width, options.hidden_size))
            width = cells[-1].output_size
        self.cells = nn.ModuleList(cells)
        tied = options.tied and self.embedding is not None
        joins = tied and width != options.embedding_size
        self.join = nn.Linear(width, options.embedding_size, bias=False) if joins else None
        self.output_weight = None if tied else nn.Parameter(_uniform(vocabulary_size, width))
        self.output_bias = nn.Parameter(torch.zeros(vocabulary_size))
        if options.initialization == "normal":
            _initialize_like_textbook(self)

    @property
    def layers(self) -> list[Cell]:
        """The cells, bottom first."""
        return cast("list[Cell]", list(self.cells))

    def initial_state(self, batch_size: int) -> States:
        """The state before the first id."""
        like = self.output_bias
        return tuple(
            cell.initial_state(batch_size, device=like.device, dtype=like.dtype)
            for cell in self.layers
        )

    def forward(
        self, ids_TB: Tensor, states: States, generator: torch.Generator | None = None
    ) -> tuple[Tensor, States]:
        """Runs a window.

        Args:
            ids_TB: input ids.
            states: state of every layer before the window.
            generator: draws dropout masks and the cells' noise; None means evaluation.

        Returns:
            What the output layer reads, [T, B, width], and the states after the window.
        """
        T, B = ids_TB.shape
        y_TBH: Tensor | None = None
        after: list[State] = []
        for cell, state in zip(self.layers, states, strict=True):
            if y_TBH is None:
                g_TBG = self._project_ids(cell, ids_TB, generator)
            else:
                g_TBG = cell.project(self._dropped(y_TBH, self._dropout, generator))
            noise: Noise | None = None if generator is None else cell.draw_noise(T, B, generator)
            y_TBH, state_after = cell.recur(g_TBG, state, noise)
            after.append(state_after)
        assert y_TBH is not None  # noqa: S101 - layers ≥ 1
        y_TBH = self._dropped(y_TBH, self._dropout, generator)
        return (y_TBH if self.join is None else self.join(y_TBH)), tuple(after)

    def loss(self, y_TBH: Tensor, targets_TB: Tensor) -> Tensor:
        """Mean cross-entropy of the window, in nats."""
        return linear_cross_entropy(
            y_TBH.flatten(0, 1), self._output_weight(), self.output_bias, targets_TB.flatten()
        )

    def logits(self, y: Tensor) -> Tensor:
        """Scores of every id, [..., V]."""
        return nn.functional.linear(y, self._output_weight(), self.output_bias)

    def stepper(self) -> Callable[[Tensor, States], tuple[Tensor, States]]:
        """A function `(ids_B, states) -> (logits_BV, states)` for one id at a time.

        It uses the present weights; make a new one after further training.
        """
        first, *rest = self.layers
        table = self._projected_table(first) if self._table_fits(first) else None
        steps: list[Step] = [cell.prepare() for cell in self.layers]

        def step(ids_B: Tensor, states: States) -> tuple[Tensor, States]:
            if table is None:
                g_BG = self._project_ids(first, ids_B.unsqueeze(0), None).squeeze(0)
            else:
                g_BG = table[ids_B]
            y_BH, state = steps[0](g_BG, states[0])
            after = [state]
            for cell, run, before in zip(rest, steps[1:], states[1:], strict=True):
                y_BH, state = run(cell.project(y_BH.unsqueeze(0)).squeeze(0), before)
                after.append(state)
            return self.logits(y_BH if self.join is None else self.join(y_BH)), tuple(after)

        return step

    def _project_ids(self, cell: Cell, ids_TB: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.embedding is None:
            return cell.project_one_hot(ids_TB, self.vocabulary_size)
        drops = generator is not None and self._embedding_dropout > 0
        if not drops and self.vocabulary_size < ids_TB.numel():
            # project is pointwise: fewer products on the table than on the window.
            return nn.functional.embedding(ids_TB, self._projected_table(cell))
        x_TBE = nn.functional.embedding(ids_TB, self.embedding)
        return cell.project(self._dropped(x_TBE, self._embedding_dropout, generator))

    def _projected_table(self, cell: Cell) -> Tensor:
        """`project` of every id, [V, G]."""
        if self.embedding is None:
            every = torch.arange(self.vocabulary_size, device=self.output_bias.device)
            return cell.project_one_hot(every.unsqueeze(1), self.vocabulary_size).squeeze(1)
        return cell.project(self.embedding.unsqueeze(1)).squeeze(1)

    def _table_fits(self, cell: Cell) -> bool:
        """Whether the table of every id takes memory in proportion to the weights.

        A few weights may give a large table: for a tied network its size is up to the number of
        weights to the power of 1.5. The file of a network is not trusted.
        """
        one = torch.zeros(1, 1, dtype=torch.int64, device=self.output_bias.device)
        width = self._project_ids(cell, one, None).shape[-1]
        if self.embedding is None and type(cell).project_one_hot is Cell.project_one_hot:
            width = max(width, self.vocabulary_size)  # it makes a one-hot vector of every id
        weights = sum(parameter.numel() for parameter in self.parameters())
        most = max(_TABLE_ALWAYS, _TABLE_PER_WEIGHT * weights)
        return self.vocabulary_size * width <= most

    def _dropped(self, x_TBH: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
        """Variational dropout: one mask per row for the whole window (Gal & Ghahramani, 2016)."""
        if generator is None or share == 0:
            return x_TBH
        mask_1BH = torch.empty_like(x_TBH[:1]).bernoulli_(1 - share, generator=generator)
        return x_TBH * mask_1BH.div_(1 - share)

    def _output_weight(self) -> Tensor:
        weight = self.embedding if self.output_weight is None else self.output_weight
        assert weight is not None  # noqa: S101 - tied implies an embedding
        return weight


def build_model(selection: Selection, vocabulary_size: int) -> LanguageModel:
    """The network of a job, on CPU in float32, its weights drawn from the training seed alone."""
    config, options = selection.config, selection.cell.options
    cell = selection.cell.load()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        return LanguageModel(
            vocabulary_size,
            config.model,
            lambda input_size, hidden_size: cell(input_size, hidden_size, **options),
        )


def detached(states: States) -> States:
    """The same states without the graph that made them: back-propagation is truncated here."""
    return tuple(tuple(tensor.detach() for tensor in state) for state in states)


def _uniform(rows: int, width: int) -> Tensor:
    return torch.empty(rows, width).uniform_(-(width**-0.5), width**-0.5)


def _initialize_like_textbook(model: nn.Module) -> None:
    """Matrices normal with mean 0 and standard deviation 0.01; everything else 0."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.01)
            else:
                parameter.zero_()
