"""What a job needs of plugins, and whether those that somebody has will do.

A job needs the plugins that compute its steps and write its lyrics. It does not need its corpus
plugin, since its text is stored, nor trackers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from versemill.plugins.discovery import is_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from versemill.plugins.registry import Registry

_NEEDED = ("cell", "sampler", "tokenizer", "decoder")
_MOST_PLUGINS = 1000
_MOST_CHARACTERS = 200  # of a distribution's name or version, which its metadata may make up

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plugin:
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
class Need:
    """A plugin that a job needs.

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

    def met_by(self, plugin: Plugin) -> bool:
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
    if is_fingerprint(version):
        return None
    try:
        return Version(version)
    except InvalidVersion:
        return None


def at_least(records: Iterable[Mapping[str, Any]]) -> tuple[Need, ...]:
    """What a job needs that was submitted with these plugins and has no checkpoint yet."""
    return tuple(_need(record) for record in records if record.get("kind") in _NEEDED)


def exactly(
    made_with: Sequence[Mapping[str, Any]], records: Iterable[Mapping[str, Any]] = ()
) -> tuple[Need, ...]:
    """What a job needs to go on from a checkpoint.

    Args:
        made_with: the plugins recorded in the checkpoint.
        records: those it was submitted with; what the checkpoint does not depend on, such as
            decoders, may be later.
    """
    locked = {record["kind"] for record in made_with}
    others = [record for record in records if record.get("kind") not in locked]
    return tuple(_need(record, exact=True) for record in made_with) + at_least(others)


def any_version(records: Iterable[Mapping[str, Any]]) -> tuple[Need, ...]:
    """What a job needs once somebody has accepted that its plugins have changed."""
    return tuple(Need(kind=need.kind, name=need.name) for need in at_least(records))


def lacking(needs: Iterable[Need], plugins: Iterable[Plugin]) -> list[Need]:
    """The needs that none of the plugins meets."""
    has = list(plugins)
    return [need for need in needs if not any(need.met_by(plugin) for plugin in has)]


def offered(registry: Registry) -> tuple[Plugin, ...]:
    """What a registry has of that which jobs need; absurdly long or many ones are left out."""
    found = (
        Plugin(kind=r.kind, name=r.name, distribution=r.distribution, version=r.revision)
        for r in registry.all()
        if r.kind in _NEEDED and max(len(r.distribution), len(r.revision)) <= _MOST_CHARACTERS
    )
    return tuple(found)[:_MOST_PLUGINS]


def to_json(needs: Iterable[Need]) -> list[Record]:
    """Needs as JSON values, each once and in one order."""
    return [asdict(need) for need in sorted(set(needs), key=str)]


def from_json(records: Iterable[Mapping[str, Any]]) -> tuple[Need, ...]:
    """Inverse of `to_json`."""
    return tuple(Need(**record) for record in records)


def digest(records: list[Record]) -> str:
    """What equal needs have in common."""
    return hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()


def _need(record: Mapping[str, Any], *, exact: bool = False) -> Need:
    kind, name = str(record["kind"]), str(record["name"])
    distribution, version = str(record["distribution"]), str(record["version"])
    return Need(kind=kind, name=name, distribution=distribution, version=version, exact=exact)
