"""The one door through which corpora, tokenizers, samplers, cells and decoders come in."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import textwrap
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import pluggy

from versemill import hookspecs
from versemill.config import NoOptions, Options, validated
from versemill.errors import ConfigError, PluginError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal["corpus", "tokenizer", "sampler", "cell", "decoder"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_HOOKS: dict[Kind, str] = {
    "corpus": "versemill_register_corpora",
    "tokenizer": "versemill_register_tokenizers",
    "sampler": "versemill_register_samplers",
    "cell": "versemill_register_cells",
    "decoder": "versemill_register_decoders",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One thing a plugin offers.

    Attributes:
        kind: what it is.
        name: what users write.
        target: `"module:attribute"` of the implementation.
        summary: one line.
        options: its options class.
        distribution: the distribution that brought it.
        version: that distribution's version.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    options: type[Options]
    distribution: str
    version: str

    def load(self) -> Any:
        """Imports the implementation; raises `PluginError` naming the distribution if it cannot."""
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise PluginError(
                f"{self.kind} {self.name!r} of {self.distribution} {self.version} "
                f"cannot be loaded: {type(error).__name__}: {error}"
            ) from error

    def validate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Options as the implementation gets them: defaults filled in, every value checked."""
        return asdict(self.options_from(values))

    def options_from(self, values: Mapping[str, Any]) -> Options:
        """An instance of the options class; raises `ConfigError` for a value not allowed."""
        return validated(self.options, values, where=f"{self.kind}_options")

    def record(self) -> dict[str, str]:
        """What jobs and checkpoints keep to recognise this plugin."""
        return {"name": self.name, "distribution": self.distribution, "version": self.version}


@dataclass(frozen=True, kw_only=True)
class Disabled:
    """A plugin left out, and why."""

    distribution: str
    version: str
    reason: str


class Registry:
    """All registrations, by kind and name.

    `Registry.discover()` reads the installed plugins; tests build `Registry([module])`. A plugin
    that cannot be imported, names an unknown hook, raises in a hook or takes a taken name is left
    out whole and listed in `disabled`; it never stops anything else.
    """

    def __init__(self, plugins: Iterable[object] = ()) -> None:
        self.disabled: list[Disabled] = []
        self._known: dict[Kind, dict[str, Registration]] = {kind: {} for kind in KINDS}
        for plugin in plugins:
            self._add(plugin, distribution=getattr(plugin, "__name__", repr(plugin)), version="0")

    @classmethod
    def discover(cls) -> Registry:
        """Loads every distribution with an entry point in the group `versemill`."""
        registry = cls()
        for entry in sorted(
            importlib.metadata.entry_points(group=hookspecs.PROJECT),
            # The built-ins come first, so that a stranger cannot take one of their names.
            key=lambda e: (e.value != "versemill_plugins", e.dist.name if e.dist else "", e.name),
        ):
            name = entry.dist.name if entry.dist else entry.value
            version = entry.dist.version if entry.dist else "unknown"
            try:
                plugin = entry.load()
            except Exception as error:  # noqa: BLE001 - a stranger's import may raise anything
                registry._disable(name, version, f"import failed: {_in_short(error)}")
            else:
                registry._add(plugin, distribution=name, version=version)
        return registry

    def find(self, kind: Kind, name: str) -> Registration:
        """The registration of that kind and name; raises `UnknownNameError`."""
        try:
            return self._known[kind][name]
        except KeyError:
            raise UnknownNameError(kind, name, self._known[kind]) from None

    def has(self, kind: Kind, name: str) -> bool:
        """Whether something of that kind has that name."""
        return name in self._known[kind]

    def all(self) -> list[Registration]:
        """Every registration, ordered by kind, then name."""
        return [self._known[kind][name] for kind in KINDS for name in sorted(self._known[kind])]

    def _add(self, plugin: object, *, distribution: str, version: str) -> None:
        """Takes all of one plugin's registrations, or none of them."""
        offered: list[Registration] = []
        try:
            manager = pluggy.PluginManager(hookspecs.PROJECT)
            manager.add_hookspecs(hookspecs)
            manager.register(plugin)
            manager.check_pending()
            for kind, hook in _HOOKS.items():
                registrar = _Registrar(kind, distribution, version, offered)
                getattr(manager.hook, hook)(register=registrar)
            self._refuse_taken(offered)
        except Exception as error:  # noqa: BLE001 - a stranger's hook may raise anything
            self._disable(distribution, version, _in_short(error))
            return
        for registration in offered:
            self._known[registration.kind][registration.name] = registration

    def _refuse_taken(self, offered: list[Registration]) -> None:
        seen: set[tuple[str, str]] = set()
        for new in offered:
            old = self._known[new.kind].get(new.name)
            if old is not None or (new.kind, new.name) in seen:
                holder = f"{old.distribution} {old.version}" if old else "this very plugin"
                raise PluginError(f"{new.kind} {new.name!r} is already registered by {holder}")
            seen.add((new.kind, new.name))

    def _disable(self, distribution: str, version: str, reason: str) -> None:
        self.disabled.append(Disabled(distribution=distribution, version=version, reason=reason))


class _Registrar:
    def __init__(
        self, kind: Kind, distribution: str, version: str, offered: list[Registration]
    ) -> None:
        self._kind = kind
        self._distribution = distribution
        self._version = version
        self._offered = offered

    def __call__(
        self, name: object, target: object, *, summary: object, options: type[Options] = NoOptions
    ) -> None:
        # What a stranger passes may be anything, whatever the protocol says.
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise PluginError(
                f"{self._kind} name {name!r} is not allowed: "
                "1 to 64 lower-case letters, digits, '-' and '_'"
            )
        if not isinstance(target, str) or not _TARGET.fullmatch(target):
            raise PluginError(
                f"target {target!r} of {self._kind} {name!r} is no 'module:attribute'"
            )
        if not isinstance(summary, str) or "\n" in summary:
            raise PluginError(f"summary of {self._kind} {name!r} must be one line of text")
        try:
            fields(options)
        except TypeError:
            raise PluginError(f"options of {self._kind} {name!r} must be a dataclass") from None
        self._offered.append(
            Registration(
                kind=self._kind,
                name=name,
                target=target,
                summary=summary,
                options=options,
                distribution=self._distribution,
                version=self._version,
            )
        )


def parse_decoder(spec: str, registry: Registry) -> tuple[Registration, dict[str, Any]]:
    """Reads one stage of a decoder chain.

    Args:
        spec: `NAME`, `NAME=VALUE` (sets the first option) or `NAME:KEY=VALUE,KEY=VALUE`.
        registry: where the decoder is looked up.

    Returns:
        The registration and its validated options.

    Raises:
        UnknownNameError: no decoder of that name.
        ConfigError: the options are malformed or not allowed.
    """
    name, mark, rest = re.fullmatch(r"([^=:]*)([=:]?)(.*)", spec, re.DOTALL).groups()  # type: ignore[union-attr]
    registration = registry.find("decoder", name.strip())
    known = [f.name for f in fields(registration.options)]
    if mark == "=" and not known:
        raise ConfigError("generation.decoders", spec, f"{name} takes no value")
    pairs = [f"{known[0]}={rest}"] if mark == "=" else [p for p in rest.split(",") if p]
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError("generation.decoders", spec, "write NAME=VALUE or NAME:KEY=VALUE")
        values[key.strip()] = _number(value.strip())
    return registration, registration.validate(values)


def _number(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _in_short(error: Exception) -> str:
    line = textwrap.shorten(str(error), 300, placeholder=" …")  # in one line: pluggy writes several
    return line if isinstance(error, PluginError) else f"{type(error).__name__}: {line}"
