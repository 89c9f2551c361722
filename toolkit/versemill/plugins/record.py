"""The record of a plugin: what jobs and checkpoints keep to recognise it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from versemill.config.validation import JSONValue


@dataclass(frozen=True, kw_only=True)
class PluginRecord:
    """A plugin that was used, and the options it was given.

    Attributes:
        kind: `cell`, `sampler` and so on.
        name: what users write.
        distribution: the distribution that brought it.
        version: its revision: the version of the distribution with which its results last
            changed, which is the distribution's own where its author says nothing.
        options: its options, defaults included, as JSON values.
    """

    kind: str
    name: str
    distribution: str
    version: str
    options: Mapping[str, JSONValue] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSONValue]:
        """The record as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, JSONValue]) -> Self:
        """Inverse of `to_json`.

        Raises:
            ValueError: it is no record.
        """
        try:
            options = stored.get("options") or {}
            told = {key: str(stored[key]) for key in ("kind", "name", "distribution", "version")}
        except (AttributeError, LookupError) as error:
            raise ValueError(f"a plugin's record is malformed: {error}") from None
        if not isinstance(options, dict):
            raise ValueError("a plugin's record is malformed: its options are no table")  # noqa: TRY004
        return cls(**told, options=options)


def records_to_json(records: Iterable[PluginRecord]) -> list[JSONValue]:
    """Records as JSON values, in their order."""
    return [record.to_json() for record in records]


def records_from_json(stored: Iterable[Mapping[str, JSONValue]]) -> tuple[PluginRecord, ...]:
    """Inverse of `records_to_json`; raises `ValueError` for what is no record."""
    return tuple(PluginRecord.from_json(record) for record in stored)
