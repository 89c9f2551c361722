"""Builds the network of a checkpoint without using more memory than its weights need.

The configuration in a file of a few kilobytes may name any size. So the sizes that the core knows
are first compared with the tensors. Then the network is built on PyTorch's meta device, and all
shapes are compared. Only then memory is allocated. A cell that cannot be built on the meta device
(it reads a value, or uses another library) is built at once, with no tensor larger than the
weights in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from versemill.errors import CheckpointError
from versemill.nn.network import LanguageModel, build_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import Tensor

    from versemill.config.job import JobConfig
    from versemill.plugins.selection import Selection

_SPARE_ELEMENTS = 1 << 22  # a cell may make constants that it does not save
_CALLS_PER_WEIGHT = 100
_SPARE_CALLS = 10_000


def build_fitting_model(
    selection: Selection, vocabulary_size: int, weights: Mapping[str, Tensor]
) -> LanguageModel:
    """The network of a job with these weights, on CPU in float32.

    Args:
        selection: of the checkpoint's job; it is not trusted.
        vocabulary_size: V.
        weights: the network's tensors by name.

    Raises:
        CheckpointError: other layers, names or shapes than the weights have, or a weight that is
            not finite.
    """
    _refuse_other_sizes(selection.config, vocabulary_size, weights)
    try:
        with torch.device("meta"), _Bounded(weights):
            shapes = build_model(selection, vocabulary_size).state_dict()
    except (RuntimeError, TypeError):  # a third-party cell; loading compares its shapes as well
        shapes = None
    difference = None if shapes is None else shape_difference(weights, shapes)
    if difference is not None:
        raise _misfit(difference)
    for name, weight in weights.items():
        if not bool(weight.isfinite().all()):
            raise CheckpointError(f"the checkpoint's weight {name} is not finite")
    with _Bounded(weights):
        model = build_model(selection, vocabulary_size)
    model.load_state_dict(dict(weights))
    return model


def shape_difference(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """The first tensor that only one of the two has, or that has another shape in each."""
    for name in sorted(found.keys() | wanted.keys()):
        got, want = (tuple(of[name].shape) if name in of else None for of in (found, wanted))
        if got != want:
            return f"{name} has shape {got}, its configuration needs {want}"
    return None


def _refuse_other_sizes(
    config: JobConfig, vocabulary_size: int, weights: Mapping[str, Tensor]
) -> None:
    """Compares the sizes that do not depend on the cells."""
    model, held = config.model, _elements(weights.values())
    if model.layers > len(weights):
        raise _misfit(f"{model.layers:,} layers, but only {len(weights)} weights")
    if model.hidden_size > held:
        raise _misfit(f"a hidden size of {model.hidden_size:,}, but only {held:,} numbers")
    wanted = {"output_bias": torch.empty(vocabulary_size, device="meta")}
    if model.embedding_size:
        embedding = torch.empty(vocabulary_size, model.embedding_size, device="meta")
        wanted["embedding"] = embedding
    difference = shape_difference(
        {name: weights[name] for name in ("output_bias", "embedding") if name in weights}, wanted
    )
    if difference is not None:
        raise _misfit(difference)


class _Bounded(TorchFunctionMode):
    """Refuses to make a tensor with more elements than the weights have, or too many tensors.

    Applies to everything that this thread builds within the block.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._most = _elements(weights.values()) + _SPARE_ELEMENTS
        self._calls_left = len(weights) * _CALLS_PER_WEIGHT + _SPARE_CALLS

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Looks at what a function would make, then calls it."""
        kwargs = kwargs or {}
        self._calls_left -= 1
        if self._calls_left < 0:
            raise _misfit("its configuration needs more weights than it has")
        if not types and self._would_make(func, args, kwargs) > self._most:
            raise _misfit("its configuration needs more memory than its weights take")
        return func(*args, **kwargs)

    @staticmethod
    def _would_make(
        func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> int:
        """Elements of the tensor that a function makes of plain values; 0 if it makes none."""
        try:
            made = func(*args, **{**kwargs, "device": "meta"})
        except (RuntimeError, TypeError, ValueError):
            return 0
        return made.numel() if isinstance(made, torch.Tensor) else 0


def _elements(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _misfit(how: str) -> CheckpointError:
    return CheckpointError(f"the checkpoint does not fit its model: {how}")
