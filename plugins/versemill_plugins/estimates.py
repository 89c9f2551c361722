"""Estimates of the built-in plugins: what a job needs at least, computed without torch.

Symbols: E input size, H hidden size, B batch size, T window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.plugins import CellSize, TokenizerBounds

if TYPE_CHECKING:
    from versemill.plugins import NoOptions
    from versemill_plugins.options import CharacterOptions, GruOptions, RnnOptions


def rnn(input_size: int, hidden_size: int, options: RnnOptions) -> CellSize:
    """One gate; keeps its outputs."""
    return _gated(1, input_size, hidden_size, kept=1)


def gru(input_size: int, hidden_size: int, options: GruOptions) -> CellSize:
    """Three gates, and a bias for the product after which r is applied; keeps h, r, z, n and q."""
    further = hidden_size if options.reset == "after" else 0
    return _gated(3, input_size, hidden_size, kept=5, further=further)


def lstm(input_size: int, hidden_size: int, options: NoOptions) -> CellSize:
    """Four gates; keeps them, h, c and tanh(c)."""
    return _gated(4, input_size, hidden_size, kept=7)


def _gated(gates: int, E: int, H: int, *, kept: int, further: int = 0) -> CellSize:
    """Each gate has weights [E, H] and [H, H] and a bias; `kept` times H floats are kept."""
    parameters = gates * H * (E + H + 1) + further
    return CellSize(parameters=parameters, activations=kept * H, output_size=H)


def consecutive(batch_size: int, window: int, options: NoOptions) -> int:
    """Each of B streams has T ids and its last target."""
    return batch_size * (window + 1)


def random(batch_size: int, window: int, options: NoOptions) -> int:
    """B windows of T ids side by side, and the last target."""
    return batch_size * window + 1


def char(text: str, options: CharacterOptions) -> TokenizerBounds:
    """One token per distinct character, one id per character: both exact."""
    tokens = len(set(text)) + options.unknown
    return TokenizerBounds(tokens_at_least=tokens, ids_at_most=len(text))
