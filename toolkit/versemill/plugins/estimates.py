"""The estimates that plugins give of their size before they are loaded. Never imports torch.

A job is refused only if it certainly cannot be trained. So a plugin without an estimate, or with
one that fails, is assumed to need nothing; `versemill plugins check` reports a failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from versemill.errors import PluginError
from versemill.phrases import shown
from versemill.plugins.contracts import CellSize, TokenizerBounds
from versemill.plugins.isolation import captured, limited
from versemill.plugins.registry import in_short

if TYPE_CHECKING:
    from versemill.plugins.selection import Selected

SECONDS = 5.0
"""Time an estimate has."""
_NOTHING = CellSize(parameters=0, activations=0, output_size=0)

T = TypeVar("T", int, CellSize, TokenizerBounds)


def cell_size(cell: Selected, input_size: int, hidden_size: int) -> CellSize:
    """The size of one layer; zeros if nothing is known of it."""
    try:
        return asked(cell, CellSize, input_size, hidden_size) or _NOTHING
    except PluginError:
        return _NOTHING


def shortest_text(sampler: Selected, batch_size: int, window: int) -> int:
    """Ids of the shortest text that has a step; by default a window and its last target.

    The default assumes that the windows of a batch may overlap.
    """
    try:
        return asked(sampler, int, batch_size, window) or window + 1
    except PluginError:
        return window + 1


def tokenizer_bounds(tokenizer: Selected, text: str) -> TokenizerBounds | None:
    """Bounds for this training text; None if nothing is known."""
    try:
        return asked(tokenizer, TokenizerBounds, text)
    except PluginError:
        return None


def asked(selected: Selected, answer: type[T], *arguments: object) -> T | None:
    """What the plugin's own estimate says; None if it has none.

    Args:
        selected: the plugin, and the options to ask about.
        answer: the type of what it says.
        arguments: what the estimate is given before the options.

    Raises:
        PluginError: it raises, does not come to an end, or returns something else than whole
            numbers that are not negative.
    """
    registration = selected.registration
    if registration.estimate is None:
        return None
    try:
        with captured(), limited(SECONDS):
            said = registration.estimate(*arguments, registration.options_from(selected.options))
            sound = type(said) is answer and all(map(_counts, _figures(said)))
            got = "" if sound else shown(said)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # third-party code may raise anything
        failure = f"the estimate of {registration.label} failed: {in_short(error)}"
        raise PluginError(failure) from error
    if not sound:
        raise PluginError(
            f"the estimate of {registration.label} returned {got}; allowed: {answer.__name__}, "
            "of whole numbers that are not negative"
        )
    return cast("T", said)


def _figures(said: object) -> list[object]:
    return [said] if isinstance(said, int) else list(vars(said).values())


def _counts(figure: object) -> bool:
    """Whether it is a whole number that is not negative; bools are none."""
    return type(figure) is int and figure >= 0
