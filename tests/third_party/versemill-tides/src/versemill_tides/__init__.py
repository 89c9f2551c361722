"""Offers two corpora to Versemill: songs of the shore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.plugins import hookimpl

if TYPE_CHECKING:
    from versemill.plugins import Registrar


@hookimpl
def versemill_register_corpora(register: Registrar) -> None:
    """Registers both languages."""
    register(
        "tides-zh", "versemill_tides.songs:chinese", summary="songs of the shore, Chinese, CC0"
    )
    register(
        "tides-en", "versemill_tides.songs:english", summary="songs of the shore, English, CC0"
    )
