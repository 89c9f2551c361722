"""Validation of options: the one function that builds an options class from JSON or TOML values.

Options classes, Versemill's and those of plugins, are frozen dataclasses whose fields may have
`annotated_types` bounds. They import no large module; `validated` imports pydantic when called.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, TypeVar

from annotated_types import Ge, Gt, Lt

from versemill.errors import ConfigError
from versemill.normalisation import prepared
from versemill.phrases import did_you_mean

if TYPE_CHECKING:
    from pydantic import TypeAdapter

JSONValue = None | bool | int | float | str | list["JSONValue"] | dict[str, "JSONValue"]

PositiveInt = Annotated[int, Gt(0), Lt(2**31)]
PositiveFloat = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Lt(1)]


class Options(Protocol):
    """Any frozen dataclass of options."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


_LONGEST_NUMBER = 256  # bits; Python itself writes no number of more than 4300 digits
_DEEPEST = 300  # levels of tables and lists; the JSON parser has a limit too

O = TypeVar("O", bound=Options)  # noqa: E741 - the only type variable here


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """Options of a plugin that has none."""


def validated(options: type[O], values: Mapping[str, Any], *, where: str) -> O:
    """Builds `options` from `values`, strictly: no string for a number, no bool for an int.

    Args:
        options: a dataclass.
        values: field values as they come from TOML or JSON.
        where: dotted name of the table, used in messages.

    Raises:
        ConfigError: naming the field, the value got and what is allowed.
    """
    values = _prepared(values, where)
    _refuse_unknown_fields(options, values, where)
    from pydantic import ValidationError

    try:
        # JSON mode is strict about numbers yet takes a list for a tuple, as TOML needs.
        checked: O = _adapter(options).validate_json(_dumped(values, where), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = where
        for part in first["loc"]:
            path = path if _is_branch(part) else _below(path, part)
        got = None if first["type"] == "missing" else first["input"]
        raise ConfigError(path, got, _in_words(first)) from None
    return checked


@functools.lru_cache(maxsize=64)
def _adapter(options: type[O]) -> TypeAdapter[O]:
    """Pydantic's adapter of an options class; cached, because making one takes a millisecond."""
    from pydantic import TypeAdapter

    return TypeAdapter(options)


def refuse_unknown_keys(values: Mapping[str, Any], allowed: Sequence[str], *, where: str) -> None:
    """Raises `ConfigError` for the first key of `values` that is not in `allowed`."""
    for key in values:
        if key not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            guess = did_you_mean(key, allowed)
            raise ConfigError(
                _below(where, key), values[key], f"no such setting; known: {known}{guess}"
            )


def _refuse_unknown_fields(options: type[Options], values: Mapping[str, Any], where: str) -> None:
    """Goes down into options inside options, since pydantic ignores what it does not know."""
    known = dataclasses.fields(options)
    refuse_unknown_keys(values, [f.name for f in known], where=where)
    for f in known:
        inner, given = f.default_factory, values.get(f.name)
        if isinstance(inner, type) and dataclasses.is_dataclass(inner) and isinstance(given, dict):
            _refuse_unknown_fields(inner, given, _below(where, f.name))


def _prepared(value: Any, where: str, depth: int = 0) -> Any:
    """The value with its texts in their one form; refuses what JSON and databases cannot hold.

    Raises:
        ConfigError: naming the place.
    """
    if isinstance(value, str):
        return prepared(value, where)
    if depth > _DEEPEST:
        raise ConfigError(where, "…", f"at most {_DEEPEST} levels of tables or lists")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(where, value, "a finite number")
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        raise ConfigError(where, value, f"a number of at most {_LONGEST_NUMBER} bits")
    if isinstance(value, Mapping):
        return {
            prepared(str(key), where): _prepared(inner, _below(where, key), depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _prepared(inner, _below(where, index), depth + 1) for index, inner in enumerate(value)
        ]
    return value


def _below(where: str, part: str | int) -> str:
    return f"{where}.{part}" if where else str(part)


def _dumped(values: Mapping[str, Any], where: str) -> str:
    try:
        return json.dumps(values)
    except TypeError as error:  # a TOML date, say
        raise ConfigError(where, dict(values), f"JSON values only ({error})") from None


def _is_branch(part: int | str) -> bool:
    """Whether pydantic names a branch of a union here (`constrained-int`) and not a field."""
    return isinstance(part, str) and (part in {"int", "float", "str", "bool"} or "[" in part)


def _in_words(error: Mapping[str, Any]) -> str:
    """What pydantic expected, as the end of a sentence."""
    context = error.get("ctx", {})
    wanted: dict[str, str] = {
        "greater_than": "greater than {gt}",
        "greater_than_equal": "at least {ge}",
        "less_than": "less than {lt}",
        "less_than_equal": "at most {le}",
        "literal_error": "one of {expected}",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "string_type": "a text",
        "string_too_short": "a text of length {min_length} or more",
        "string_too_long": "a text of length {max_length} or less",
        "bool_type": "true or false",
        "tuple_type": "a list",
        "dict_type": "a table",
        "missing": "a value is needed",
        "too_long": "at most {max_length} entries",
    }
    template = wanted.get(error["type"])
    return template.format(**context) if template else str(error["msg"]).lower()
