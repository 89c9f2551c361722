"""The one door through which all that plugins offer comes in."""

from __future__ import annotations

import importlib
import re
import sys
import textwrap
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import pluggy

from versemill.config.validation import NoOptions, Options, validated
from versemill.errors import ConfigError, PluginError, UnknownNameError
from versemill.escaping import harmless
from versemill.files import spelled_as_there
from versemill.normalisation import cleaned, prepared_name
from versemill.plugins import hookspecs
from versemill.plugins.discovery import FOLDER_PACKAGE, Source, find_sources
from versemill.plugins.hookspecs import STAGES, Stage
from versemill.plugins.isolation import OverdueError, captured, limited
from versemill.plugins.record import PluginRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from versemill.config.validation import JSONValue

Kind = Literal["corpus", "tokenizer", "sampler", "cell", "decoder", "tracker"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_HOOKS: dict[Kind, str] = {
    "corpus": "versemill_register_corpora",
    "tokenizer": "versemill_register_tokenizers",
    "sampler": "versemill_register_samplers",
    "cell": "versemill_register_cells",
    "decoder": "versemill_register_decoders",
    "tracker": "versemill_register_trackers",
}
IMPORT_SECONDS = 30.0
"""Time a plugin has to be imported, and its hooks to return; an import of torch fits in."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MESSAGE_READ = 1000  # characters
_REVISION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,9}")
_TARGET = re.compile(r"([A-Za-z_][\w.]*)?:[A-Za-z_]\w*")
_ESTIMATED: tuple[Kind, ...] = ("cell", "sampler", "tokenizer")
_NAMED_IN_LISTS = ("decoder", "tracker")  # their options stand beside their names, in no table
_METHODS: dict[Kind, tuple[str, ...]] = {
    "tokenizer": ("train", "from_json", "to_json", "encode", "decode"),
    "sampler": ("starts",),
    "decoder": ("__call__",),
}


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
        revision: the version with which its results last changed: what jobs are locked to.
        estimate: what it says of its size before it is loaded; ask by `plugins.estimates`.
        stage: of a decoder, what it does to the distribution; None if its author does not say.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    options: type[Options]
    distribution: str
    version: str
    revision: str
    estimate: Callable[..., object] | None = None
    stage: Stage | None = None

    @property
    def label(self) -> str:
        """How messages name it: `cell 'gru' of versemill 0.1.0`."""
        return f"{self.kind} {self.name!r} of {self.distribution} {self.version}"

    def load(self) -> Any:
        """Imports the implementation; what that prints goes to stderr.

        Raises:
            PluginError: it cannot be imported, or is not of its kind; the message names the
                plugin with its version.
        """
        module, _, attribute = self.target.partition(":")
        try:
            with captured() as printed, limited(IMPORT_SECONDS):
                found = getattr(importlib.import_module(module), attribute)
                unfit = _unfit(self.kind, found)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # a plugin's import may raise anything
            raise PluginError(f"{self.label} cannot be loaded: {in_short(error)}") from error
        if printed.text:
            sys.stderr.write(harmless(printed.text))
        if unfit:
            raise PluginError(f"{self.label} cannot be loaded: {attribute} {unfit}")
        return found

    def validate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Options as jobs keep them: defaults filled in, every value checked, paths as written."""
        kept = asdict(self._validated(values))
        paths = [name for name, value in kept.items() if isinstance(value, Path)]
        written = {name: cleaned(str(values.get(name, kept[name]))) for name in paths}
        return kept | written

    def options_from(self, values: Mapping[str, Any]) -> Options:
        """An instance of the options class, for an implementation that takes one.

        An option of the type `Path` gets the name on the disk (`files.spelled_as_there`).

        Raises:
            ConfigError: a value that is not allowed.
        """
        options = self._validated(values)
        given = ((f.name, getattr(options, f.name)) for f in fields(options))
        paths = {name: spelled_as_there(v) for name, v in given if isinstance(v, Path)}
        return replace(options, **paths) if paths else options

    def _validated(self, values: Mapping[str, Any]) -> Options:
        in_table = self.kind not in _NAMED_IN_LISTS
        where = f"{self.kind}_options" if in_table else f"{self.kind} {self.name}"
        return validated(self.options, values, where=where)

    def record(self, options: Mapping[str, JSONValue]) -> PluginRecord:
        """What jobs and checkpoints keep to recognise this plugin, and the options it was given."""
        return PluginRecord(
            kind=self.kind,
            name=self.name,
            distribution=self.distribution,
            version=self.revision,
            options=options,
        )


@dataclass(frozen=True, kw_only=True)
class Disabled:
    """A plugin left out, and why."""

    distribution: str
    version: str
    reason: str


class Registry:
    """All registrations, by kind and name.

    `Registry.discover()` reads the installed plugins; tests build `Registry([module])`. A plugin
    that cannot be imported, does not come to an end, prints, has no hook or an unknown one, raises
    in a hook, returns something from it or takes a taken name is left out whole and listed in
    `disabled`; it never stops anything else.
    """

    def __init__(self, plugins: Iterable[object] = ()) -> None:
        self.disabled: list[Disabled] = []
        self._known: dict[Kind, dict[str, Registration]] = {kind: {} for kind in KINDS}
        for plugin in plugins:
            self._add(plugin, distribution=getattr(plugin, "__name__", repr(plugin)), version="0")

    @classmethod
    def discover(cls, *, without: Collection[str] = ()) -> Registry:
        """Loads every installed distribution's plugin, and those of the plugin folder.

        Args:
            without: names of distributions to leave alone, such as those known to hang.
        """
        return cls.of(s for s in find_sources() if s.distribution not in without)

    @classmethod
    def of(cls, sources: Iterable[Source]) -> Registry:
        """Loads these plugins only, in this order."""
        registry = cls()
        for source in sources:
            try:
                with captured() as printed, limited(IMPORT_SECONDS):
                    plugin = source.load()
                _refuse_output("when it is imported", printed.text)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - a stranger's import may raise anything
                reason = _import_failure(error)
                registry._disable(source.distribution, source.version, reason)
            else:
                registry._add(plugin, distribution=source.distribution, version=source.version)
        return registry

    def find(self, kind: Kind, name: str) -> Registration:
        """The registration of that kind and name; raises `UnknownNameError`."""
        try:
            return self._known[kind][name]
        except KeyError:
            left_out = len(self.disabled)
            plural = "plugins are" if left_out > 1 else "plugin is"
            hint = f"{left_out} {plural} disabled" if left_out else ""
            reason = "disabled" if left_out else ""
            known = self._known[kind]
            raise UnknownNameError(kind, name, known, hint=hint, reason=reason) from None

    def has(self, kind: Kind, name: str) -> bool:
        """Whether something of that kind has that name."""
        return name in self._known[kind]

    def all(self) -> list[Registration]:
        """Every registration, ordered by kind, then name."""
        return [self._known[kind][name] for kind in KINDS for name in sorted(self._known[kind])]

    def _add(self, plugin: object, *, distribution: str, version: str) -> None:
        """Takes all of one plugin's registrations, or none of them."""
        try:
            with captured() as printed, limited(IMPORT_SECONDS):
                offered = _offered(plugin, distribution, version)
            _refuse_output("in a hook", printed.text)
            self._refuse_taken(offered)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a stranger's hook may raise anything
            self._disable(distribution, version, in_short(error))
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


def _offered(plugin: object, distribution: str, version: str) -> list[Registration]:
    """What a plugin's hooks register."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    if not manager.get_hookcallers(plugin):
        raise PluginError(
            "it has no hook; put @versemill.plugins.hookimpl before a function such as "
            "versemill_register_cells(register)"
        )
    offered: list[Registration] = []
    own = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
    for kind, hook in _HOOKS.items():
        registrar = _Registrar(kind, distribution, version, own, offered)
        returned = getattr(manager.hook, hook)(register=registrar)
        if returned:
            raise PluginError(
                f"{hook} returned a {type(returned[0]).__name__}; it must return nothing, and call "
                "register(…) once for each thing offered"
            )
    return offered


class _Registrar:
    def __init__(
        self,
        kind: Kind,
        distribution: str,
        version: str,
        own: str,
        offered: list[Registration],
    ) -> None:
        self._kind = kind
        self._distribution = distribution
        self._version = version
        self._own = own
        self._offered = offered

    def __call__(
        self,
        name: object,
        target: object,
        *,
        summary: object,
        options: type[Options] = NoOptions,
        stage: Stage | None = None,
        revision: object = None,
        estimate: object = None,
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
        summary = _one_line(summary)
        if summary is None:
            raise PluginError(f"summary of {self._kind} {name!r} must be one line of text")
        try:
            fields(options)
        except TypeError:
            raise PluginError(f"options of {self._kind} {name!r} must be a dataclass") from None
        self._refuse_stage(name, stage)
        if revision is not None and not _is_revision(revision):
            raise PluginError(
                f"revision {revision!r:.50} of {self._kind} {name!r} is not allowed: "
                "a version such as '1.2'"
            )
        if estimate is not None and not (callable(estimate) and self._kind in _ESTIMATED):
            allowed = "a function" if self._kind in _ESTIMATED else "left out for this kind"
            raise PluginError(
                f"estimate {estimate!r:.50} of {self._kind} {name!r} is not allowed: {allowed}"
            )
        self._offered.append(
            Registration(
                kind=self._kind,
                name=name,
                target=_resolved(target, self._own),
                summary=summary,
                options=options,
                stage=stage,
                distribution=self._distribution,
                version=self._version,
                revision=self._version if revision is None else str(revision),
                estimate=estimate if callable(estimate) else None,
            )
        )

    def _refuse_stage(self, name: str, stage: object) -> None:
        if stage is None:
            return
        if self._kind != "decoder":
            raise PluginError(f"{self._kind} {name!r} has a stage, which only decoders have")
        if stage not in STAGES:
            raise PluginError(
                f"stage {stage!r} of {self._kind} {name!r} is not allowed: "
                f"one of {', '.join(STAGES)}"
            )


def _one_line(summary: object) -> str | None:
    """A stranger's summary in the one form of all text; None if it is no line of text."""
    try:
        return prepared_name(summary, "summary") if isinstance(summary, str) else None
    except ConfigError:
        return None


def _is_revision(given: object) -> bool:
    """Whether it is a version in short ASCII, so that later ones can be told from earlier ones."""
    return isinstance(given, str) and _REVISION.fullmatch(given) is not None


def _resolved(target: str, own: str) -> str:
    """The target with the whole name of its module; `own` is that of the plugin.

    In a folder, a plugin's own modules go before installed ones of the same name.
    """
    module, _, attribute = target.partition(":")
    folder, _, short = own.rpartition(".")
    if not module:
        return f"{own}:{attribute}"
    if folder == FOLDER_PACKAGE and module.partition(".")[0] == short:
        return f"{folder}.{target}"
    return target


def _unfit(kind: Kind, found: Any) -> str:
    """Why an implementation cannot be of its kind; empty if it may be."""
    if kind == "corpus":
        return "" if callable(found) else "must be a function that returns a Text"
    if not isinstance(found, type):
        return f"must be a class, since it is a {kind}"
    if kind == "cell":
        from versemill.plugins.cell import Cell  # needs torch, as every cell does

        return "" if issubclass(found, Cell) else "must be a subclass of versemill.plugins.Cell"
    if kind == "tracker":
        from versemill.plugins.tracker import Tracker

        unfit = "must be a subclass of versemill.plugins.Tracker"
        return "" if issubclass(found, Tracker) else unfit
    missing = [m for m in _METHODS[kind] if not any(m in vars(base) for base in found.__mro__)]
    return f"has no {', '.join(missing)}, which every {kind} needs" if missing else ""


def in_short(error: BaseException) -> str:
    """A stranger's error in one line; one of ours speaks for itself."""
    try:
        told = str(error)
    except Exception:  # noqa: BLE001 - even this may fail
        told = ""
    # In one line, since pluggy writes several; of the beginning, since it may have megabytes.
    line = textwrap.shorten(told[:_MESSAGE_READ], 300, placeholder=" …")
    if isinstance(error, PluginError | OverdueError):
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _import_failure(error: BaseException) -> str:
    if isinstance(error, PluginError | OverdueError):
        return in_short(error)
    lacks = isinstance(error, ModuleNotFoundError) and error.name
    mend = f"; install what provides {error.name!r}" if lacks else ""  # type: ignore[attr-defined]
    return f"import failed: {in_short(error)}{mend}"


def _refuse_output(when: str, printed: str) -> None:
    if printed:
        shown = textwrap.shorten(printed[:_MESSAGE_READ], 60, placeholder=" …")
        raise PluginError(f"it prints {when}: {shown!r}; a plugin may not, use logging")
