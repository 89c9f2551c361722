"""Characters that a model does not know, and forms of them that it knows."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Convert: TypeAlias = Callable[[str], Iterable[str]]

_FIRST_IDEOGRAPH = "\u2e80"
_FEW = 5


@dataclass(frozen=True, kw_only=True)
class UnknownCharacter:
    """A character of a text that a model does not know.

    Attributes:
        character: as the text has it.
        known_as: its full-width or half-width form, or its simplified or traditional one, if the
            model knows it; else None.
    """

    character: str
    known_as: str | None


def unknown_characters(
    text: str, known: Callable[[str], bool], convert: Convert | None = None
) -> tuple[UnknownCharacter, ...]:
    """The distinct characters of `text` that are not known, in its order.

    Args:
        text: in NFC, such as a prefix.
        known: whether a character is known.
        convert: gives the simplified and traditional forms of an ideograph; by default OpenCC's,
            where the package `opencc` is installed.
    """
    convert = _converted if convert is None else convert
    unknown = [character for character in dict.fromkeys(text) if not known(character)]
    return tuple(
        UnknownCharacter(character=character, known_as=_known_form(character, known, convert))
        for character in unknown
    )


def described(unknown: Sequence[UnknownCharacter]) -> str:
    """A few unknown characters, each with the form that is known."""
    told = [
        f"{one.character!r} ({one.known_as!r} is known)" if one.known_as else repr(one.character)
        for one in unknown[:_FEW]
    ]
    more = len(unknown) - _FEW
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _known_form(character: str, known: Callable[[str], bool], convert: Convert) -> str | None:
    forms = _forms(character, convert)
    return next((form for form in forms if form != character and all(map(known, form))), None)


def _forms(character: str, convert: Convert) -> Iterator[str]:
    yield unicodedata.normalize("NFKC", character)
    yield from _other_widths().get(character, ())
    if character >= _FIRST_IDEOGRAPH:
        yield from convert(character)


@cache
def _other_widths() -> dict[str, tuple[str, ...]]:
    """For each character its forms of another width, from Unicode's compatibility mappings."""
    found: dict[str, tuple[str, ...]] = {}
    for code in (0x3000, *range(0xFF01, 0xFFEF)):
        tag, _, usual = unicodedata.decomposition(chr(code)).partition(" ")
        if tag in {"<wide>", "<narrow>"}:
            key = chr(int(usual, 16))
            found[key] = (*found.get(key, ()), chr(code))
    return found


def _converted(character: str) -> Iterable[str]:
    return tuple(convert(character) for convert in _opencc())


@cache
def _opencc() -> tuple[Callable[[str], str], ...]:
    """Conversions to simplified and to traditional characters; none without OpenCC."""
    try:
        from opencc import OpenCC

        return tuple(OpenCC(direction).convert for direction in ("t2s", "s2t"))
    except (ImportError, OSError, RuntimeError):  # not there, or without its dictionaries
        return ()
