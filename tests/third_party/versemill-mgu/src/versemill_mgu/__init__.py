"""Offers a cell and a decoder to Versemill. Light: torch is imported with the implementations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Le

from versemill.plugins import hookimpl

if TYPE_CHECKING:
    from versemill.plugins import Registrar


@dataclass(frozen=True, kw_only=True)
class MguOptions:
    """Options of the cell.

    Attributes:
        forget_bias: the gate's bias at the start; lower remembers longer.
    """

    forget_bias: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MinPOptions:
    """Options of the decoder.

    Attributes:
        share: of the best id's probability that others must reach.
    """

    share: Annotated[float, Gt(0), Le(1)] = 0.1


@hookimpl
def versemill_register_cells(register: Registrar) -> None:
    """Registers the minimal gated unit."""
    register(
        "mgu",
        "versemill_mgu.cell:Mgu",
        summary="minimal gated unit: one gate, two thirds of a GRU's weights",
        options=MguOptions,
    )


@hookimpl
def versemill_register_decoders(register: Registrar) -> None:
    """Registers min-p."""
    register(
        "min-p",
        "versemill_mgu.decoder:MinP",
        summary="keep what is at least a share as likely as the best",
        options=MinPOptions,
    )
