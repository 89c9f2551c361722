"""What a job requires of plugins, and whether those that somebody has will do.

A job requires the plugins that compute its steps and write its lyrics. It does not require its
corpus plugin, since its text is stored, nor trackers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from packaging.version import Version

    from versemill.config.validation import JSONValue
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.registry import Registry

_REQUIRED = ("cell", "sampler", "tokenizer", "decoder")
_MOST_PLUGINS = 1000
_MOST_CHARACTERS = 200  # of a distribution's name or version, which its metadata may make up


@dataclass(frozen=True, kw_only=True)
class OfferedPlugin:
    """Something that a plugin offers, by what tells it from others of its name.

    Attributes:
        version: its revision: the version of the distribution with which its results last changed,
            as far as its author says so, else the distribution's own.
    """

    kind: str
    name: str
    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A plugin that a job requires.

    Attributes:
        distribution: the one it has to come from; None if any will do.
        version: the least version, or the only one; None if any will do.
        exact: whether it is the only one.
    """

    kind: str
    name: str
    distribution: str | None = None
    version: str | None = None
    exact: bool = False

    def __str__(self) -> str:
        """`cell 'x' from dist-y ≥ 1.2`."""
        named = f"{self.kind} {self.name!r}"
        if self.version is None:
            return named
        bound = "≥" if self._parsed is not None else "="
        return f"{named} from {self.distribution} {bound} {self.version}"

    def met_by(self, plugin: OfferedPlugin) -> bool:
        """Whether this plugin will do."""
        if (plugin.kind, plugin.name) != (self.kind, self.name):
            return False
        if self.version is None or plugin.version == self.version:
            return self.distribution in {None, plugin.distribution}
        least, got = self._parsed, parsed_version(plugin.version)
        return (
            plugin.distribution == self.distribution
            and least is not None
            and got is not None
            and got >= least
        )

    @property
    def _parsed(self) -> Version | None:
        """The version that later ones may stand for; None if it must be this very one."""
        return None if self.exact or self.version is None else parsed_version(self.version)


def parsed_version(version: str) -> Version | None:
    """A version that has an order; None for a content hash, or what is no version."""
    # Listings that only compare equal versions do not wait for these imports.
    from packaging.version import InvalidVersion, Version

    from versemill.plugins.discovery import is_fingerprint

    if is_fingerprint(version):
        return None
    try:
        return Version(version)
    except InvalidVersion:
        return None


def at_least(records: Iterable[PluginRecord]) -> tuple[Requirement, ...]:
    """What a job requires that was submitted with these plugins and has no checkpoint yet."""
    return tuple(_required(record) for record in records if record.kind in _REQUIRED)


def exactly(
    made_with: Sequence[PluginRecord], records: Iterable[PluginRecord] = ()
) -> tuple[Requirement, ...]:
    """What a job requires to go on from a checkpoint.

    Args:
        made_with: the plugins recorded in the checkpoint.
        records: those it was submitted with; what the checkpoint does not depend on, such as
            decoders, may be later.
    """
    locked = {record.kind for record in made_with}
    others = [record for record in records if record.kind not in locked]
    return tuple(_required(record, exact=True) for record in made_with) + at_least(others)


def any_version(records: Iterable[PluginRecord]) -> tuple[Requirement, ...]:
    """What a job requires once somebody has accepted that its plugins have changed."""
    return tuple(Requirement(kind=found.kind, name=found.name) for found in at_least(records))


def lacking(
    requirements: Iterable[Requirement], plugins: Iterable[OfferedPlugin]
) -> list[Requirement]:
    """The requirements that none of the plugins meets."""
    has = list(plugins)
    return [wanted for wanted in requirements if not any(wanted.met_by(plugin) for plugin in has)]


def offered(registry: Registry) -> tuple[OfferedPlugin, ...]:
    """What a registry has of that which jobs require; absurdly long or many are left out."""
    found = (
        OfferedPlugin(kind=r.kind, name=r.name, distribution=r.distribution, version=r.revision)
        for r in registry.all()
        if r.kind in _REQUIRED and max(len(r.distribution), len(r.revision)) <= _MOST_CHARACTERS
    )
    return tuple(found)[:_MOST_PLUGINS]


def offered_from_json(stored: Iterable[Mapping[str, str]]) -> tuple[OfferedPlugin, ...]:
    """Offered plugins that were stored as JSON values of their fields."""
    return tuple(OfferedPlugin(**plugin) for plugin in stored)


def to_json(requirements: Iterable[Requirement]) -> list[dict[str, JSONValue]]:
    """Requirements as JSON values, each once and in one order."""
    return [asdict(wanted) for wanted in sorted(set(requirements), key=str)]


def from_json(stored: Iterable[Mapping[str, Any]]) -> tuple[Requirement, ...]:
    """Inverse of `to_json`."""
    return tuple(Requirement(**wanted) for wanted in stored)


def digest(stored: list[dict[str, JSONValue]]) -> str:
    """What equal requirements, as `to_json` gives them, have in common."""
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()


def _required(record: PluginRecord, *, exact: bool = False) -> Requirement:
    return Requirement(
        kind=record.kind,
        name=record.name,
        distribution=record.distribution,
        version=record.version,
        exact=exact,
    )
