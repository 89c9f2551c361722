"""Checks of a checkpoint's header, before it is used.

The safetensors library refuses tensors that overlap, leave gaps or do not fill the file. It accepts
any header of up to 100 MB, and of several equal names the last. This module limits the size of the
header and of its metadata, and the number of values that parsing may make objects of.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header."""

_MOST_META = 16 << 20  # bytes; a vocabulary of every Unicode character takes 5 MB
_MOST_HEADER = 3 * _MOST_META  # quotes are escaped, and the tensors' names come on top
_MOST_VALUES = 1_000_000
_MOST_DIMENSIONS = 8
_DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}


def header_size(start: bytes, file_size: int) -> int:
    """Bytes of the header that begins after `start`, the first `LENGTH_BYTES` of a file.

    Raises:
        ValueError: it does not fit into the file, or is absurdly long.
    """
    size = int.from_bytes(start, "little")
    if len(start) < LENGTH_BYTES or size > file_size - LENGTH_BYTES:
        raise ValueError("the file is cut short, or is no safetensors file")
    if size > _MOST_HEADER:
        raise ValueError(f"its header of {size:,} bytes is above the {_MOST_HEADER:,} allowed")
    return size


def metadata(header: bytes, data_size: int) -> dict[str, Any]:
    """The `__metadata__` of a header whose tensors are of known types and few dimensions.

    Args:
        header: the header's JSON.
        data_size: bytes that follow it, which the tensors have to fill.

    Raises:
        ValueError: it is malformed.
    """
    entries = _object(_parsed(header.decode("utf-8")))
    meta = _object(entries.pop("__metadata__", {}))
    end = 0
    for name, entry in entries.items():
        fields = _object(entry)
        if fields.get("dtype") not in _DTYPES:
            raise ValueError(f"tensor {name!r:.80} has type {fields.get('dtype')!r:.80}")
        shape = fields.get("shape")
        if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS:
            raise ValueError(f"tensor {name!r:.80} has more than {_MOST_DIMENSIONS} dimensions")
        end = max(end, _end(name, fields.get("data_offsets")))
    if end != data_size:
        raise ValueError(f"its tensors take {end:,} bytes, but {data_size:,} follow its header")
    return meta


def _end(name: str, offsets: object) -> int:
    """Where a tensor's data end."""
    if not isinstance(offsets, list) or not offsets or type(offsets[-1]) is not int:
        raise ValueError(f"tensor {name!r:.80} has offsets {offsets!r:.80}")
    return int(offsets[-1])


def parsed_meta(text: str) -> dict[str, Any]:
    """The JSON object that our entry of the metadata holds.

    Raises:
        ValueError: it is none, or is absurdly large.
    """
    refuse_absurd_meta(text)
    return _object(_parsed(text))


def refuse_absurd_meta(text: str) -> None:
    """Raises `ValueError` for metadata that `parsed_meta` would refuse."""
    size = len(text.encode())
    if size > _MOST_META:
        raise ValueError(f"its metadata of {size:,} bytes is above the {_MOST_META:,} allowed")
    _refuse_many_values(text)


def _parsed(text: str) -> Any:
    _refuse_many_values(text)
    try:
        return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None


def _refuse_many_values(text: str) -> None:
    values = sum(map(text.count, "[{,"))  # at least as many as the objects that parsing makes
    if values > _MOST_VALUES:
        raise ValueError(f"its header holds {values:,} values, above the {_MOST_VALUES:,} allowed")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("its header holds something else where an object belongs")  # noqa: TRY004
    return value


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header holds a name twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"its header holds {name}, which is no JSON")
