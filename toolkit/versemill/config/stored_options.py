"""Options that jobs and checkpoints of older versions lack: which value they mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from versemill.config.validation import JSONValue, Options

ABSENT: dict[str, JSONValue] = {}
"""The value that stands for the behaviour before an option existed, if it is not its default.

By dotted name, such as `training.patience`; a field of the kernel plan is `plan.FIELD`. If you add
an option whose default changes results, add the value that older jobs and checkpoints mean.
"""


def completed(
    options: type[Options], stored: Mapping[str, Any], *, where: str = ""
) -> dict[str, Any]:
    """Stored values, completed with the values of fields that they lack.

    Jobs and checkpoints keep the options that existed when they were made. An option that was
    added later has for them the value in `ABSENT`, or else its default.

    Args:
        options: a dataclass; options inside options are completed too.
        stored: field values as they were stored; unknown ones stay.
        where: dotted name of the table.
    """
    filled = dict(stored)
    for field in dataclasses.fields(options):
        name = f"{where}.{field.name}" if where else field.name
        inner = field.default_factory
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            given = filled.get(field.name, {})
            if isinstance(given, Mapping):
                filled[field.name] = completed(inner, given, where=name)
        elif field.name not in filled:
            filled |= _meaning_of_absence(field, name)
    return filled


def _meaning_of_absence(field: dataclasses.Field[Any], name: str) -> dict[str, Any]:
    """The field's value where none is stored; nothing for one that has to be stored."""
    if name in ABSENT:
        return {field.name: ABSENT[name]}
    if field.default is not dataclasses.MISSING:
        return {field.name: field.default}
    if field.default_factory is not dataclasses.MISSING:
        return {field.name: field.default_factory()}
    return {}
