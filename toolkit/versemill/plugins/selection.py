"""Which plugins a job uses, and with which options: the one answer, for whoever asks.

Each plugin is looked up when it is first asked for, and not before: a trainer goes on without a
tracker or a corpus plugin that it lacks, and writing text needs no sampler.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from versemill.config.stored_options import completed
from versemill.errors import ConfigError
from versemill.plugins.requirements import at_least

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.config.job import JobConfig
    from versemill.config.validation import JSONValue
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.registry import Kind, Registration, Registry
    from versemill.plugins.requirements import Requirement


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A plugin's offer and the options for it.

    Attributes:
        registration: what was chosen.
        options: its options, validated, defaults included.
    """

    registration: Registration
    options: Mapping[str, JSONValue]

    @property
    def record(self) -> PluginRecord:
        """What jobs and checkpoints keep of it."""
        return self.registration.record(self.options)

    def load(self) -> Any:
        """Its implementation; see `Registration.load`."""
        return self.registration.load()


@dataclass(frozen=True)
class Selection:
    """The plugins of a job.

    Every attribute but the first two raises, when it is read, `UnknownNameError` for a plugin that
    is not installed and `ConfigError` for an option that the plugin does not take.

    Attributes:
        config: the job. An option that it lacks, since the plugin has gained it later, is as
            `stored_options.completed` says.
        registry: where plugins are looked up.
    """

    config: JobConfig
    registry: Registry

    @cached_property
    def corpus(self) -> Selected | None:
        """None where the corpus is a stored name or a path, or its plugin is not installed."""
        if not self.registry.has("corpus", self.config.corpus):
            return None
        return self._stored("corpus", self.config.corpus, self.config.corpus_options)

    @cached_property
    def tokenizer(self) -> Selected:
        """What turns text into ids."""
        return self._stored("tokenizer", self.config.tokenizer, self.config.tokenizer_options)

    @cached_property
    def sampler(self) -> Selected:
        """What chooses training windows."""
        return self._stored("sampler", self.config.sampler, self.config.sampler_options)

    @cached_property
    def cell(self) -> Selected:
        """The recurrent cell of every layer."""
        return self._stored("cell", self.config.cell, self.config.cell_options)

    @cached_property
    def decoders(self) -> tuple[Selected, ...]:
        """The stages of the job's own decoder chain, in order."""
        specs = self.config.generation.decoders
        return tuple(from_spec("decoder", spec, self.registry) for spec in specs)

    @cached_property
    def trackers(self) -> tuple[Selected, ...]:
        """Who follows the run."""
        return tuple(from_spec("tracker", spec, self.registry) for spec in self.config.trackers)

    @property
    def numerical(self) -> tuple[Selected, Selected, Selected]:
        """Cell, sampler and tokenizer: those that decide the numbers of a run."""
        return self.cell, self.sampler, self.tokenizer

    def records(self) -> tuple[PluginRecord, ...]:
        """The records of all of them, for a job to keep."""
        corpus = () if self.corpus is None else (self.corpus,)
        computing = (self.tokenizer, self.sampler, self.cell)
        every = (*corpus, *computing, *self.decoders, *self.trackers)
        return tuple(selected.record for selected in every)

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """What a worker must have to begin the job."""
        return at_least(self.records())

    def _stored(self, kind: Kind, name: str, options: Mapping[str, JSONValue]) -> Selected:
        registration = self.registry.find(kind, name)
        given = completed(registration.options, options, where=f"{kind}_options")
        return Selected(registration=registration, options=registration.validate(given))


def from_spec(kind: Literal["decoder", "tracker"], spec: str, registry: Registry) -> Selected:
    """Reads one stage of a decoder chain, or one tracker.

    Args:
        kind: which of the two.
        spec: `NAME`, `NAME=VALUE` (sets the first option) or `NAME:KEY=VALUE,KEY=VALUE`.
        registry: where it is looked up.

    Raises:
        UnknownNameError: nothing of that kind and name.
        ConfigError: the options are malformed or not allowed.
    """
    where = "trackers" if kind == "tracker" else "generation.decoders"
    name, mark, rest = re.fullmatch(r"([^=:]*)([=:]?)(.*)", spec, re.DOTALL).groups()  # type: ignore[union-attr]
    registration = registry.find(kind, name.strip())
    known = [f.name for f in fields(registration.options)]
    if mark == "=" and not known:
        raise ConfigError(where, spec, f"{name} takes no value")
    pairs = [f"{known[0]}={rest}"] if mark == "=" else [p for p in rest.split(",") if p]
    values: dict[str, JSONValue] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(where, spec, "write NAME=VALUE or NAME:KEY=VALUE")
        values[key.strip()] = _number(value.strip())
    return Selected(registration=registration, options=registration.validate(values))


def _number(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
