"""Where plugins come from: installed distributions, and the folder that `VERSEMILL_PLUGINS` names.

Nothing is imported here before somebody calls `Source.load`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import os
import re
import sys
import types
from dataclasses import dataclass
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

from versemill.errors import PluginError
from versemill.files import open_regular
from versemill.plugins.hookspecs import PROJECT
from versemill.plugins.permissions import changeable, replaceable
from versemill.settings import plugins_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FOLDER_PACKAGE = "versemill_folder_plugins"
"""Folder plugins are modules of this package, so that `random.py` neither hides nor is hidden."""
_BUILT_IN = "versemill_plugins"
_VERSION_DIGITS = 12
_FINGERPRINT = re.compile(rf"[0-9a-f]{{{_VERSION_DIGITS}}}")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A plugin that is there, whether it can be imported or not.

    Attributes:
        distribution: name of its distribution; of a folder plugin, of its file or folder.
        version: its distribution's; of a folder plugin, the first 12 digits of the SHA-256 of
            its content.
        load: imports it and returns the object with the hooks; may raise anything, hang, or end
            the process.
        built_in: whether it is Versemill's own.
    """

    distribution: str
    version: str
    load: Callable[[], object]
    built_in: bool = False


def find_sources() -> list[Source]:
    """Every plugin: the built-ins, those of other distributions by name, then the folder's."""
    folder = plugins_folder()
    return _installed() + ([] if folder is None else _in_folder(folder))


def is_fingerprint(version: str) -> bool:
    """Whether a version is that of a folder plugin, which has no order."""
    return _FINGERPRINT.fullmatch(version) is not None


def _installed() -> list[Source]:
    entries = importlib.metadata.entry_points(group=PROJECT)
    found = [(_source(entry), entry.name) for entry in entries]
    # The built-ins come first, so that a stranger cannot take one of their names.
    found.sort(key=lambda pair: (not pair[0].built_in, pair[0].distribution, pair[1]))
    return [source for source, _ in found]


def _source(entry: importlib.metadata.EntryPoint) -> Source:
    name, version = _about(entry.dist) if entry.dist else (None, None)
    return Source(
        distribution=name or entry.value,
        version=version or "unknown",
        load=functools.partial(_load_installed, entry),
        built_in=entry.value == _BUILT_IN,
    )


def _about(distribution: importlib.metadata.Distribution) -> tuple[str | None, str | None]:
    """Name and version; None where its metadata, which may be damaged, do not tell."""
    about = dict(distribution.metadata.json)  # parsed anew each time it is asked for
    name, version = about.get("name"), about.get("version")
    return str(name) if name else None, str(version) if version else None


def _load_installed(entry: importlib.metadata.EntryPoint) -> object:
    root = entry.value.partition(":")[0].partition(".")[0].strip()
    if root in sys.stdlib_module_names:
        raise PluginError(
            f"its module {root!r} is named like one of Python's own, which goes first; rename it"
        )
    return entry.load()


def _in_folder(folder: Path) -> list[Source]:
    try:
        places = sorted(place for place in folder.iterdir() if place.name[0] not in "._")
        named = [(place, name) for place in places if (name := _module_name(place)) is not None]
        unsafe = replaceable(folder) or changeable([folder])
    except OSError as error:
        reason = f"VERSEMILL_PLUGINS names no folder that can be read: {error.strerror}"
        return [_refused(str(folder), reason)]
    if unsafe is not None:
        return [_refused(str(folder), unsafe)]
    found: dict[str, Path] = {}
    sources = []
    for place, name in named:
        if name in found:
            reason = f"{place} has the name of {found[name].name} beside it; rename one of them"
            sources.append(_refused(place.name, reason))
        else:
            found[name] = place
            sources.append(_folder_source(place, name))
    return sources


def _module_name(place: Path) -> str | None:
    """The name of the module that a path is, if it looks like one."""
    if not place.is_dir():
        return place.stem if place.suffix == ".py" else None
    return place.name if any(place.glob("*.py")) else None


def _folder_source(place: Path, name: str) -> Source:
    if not name.isidentifier():
        return _refused(place.name, f"{place}: {name!r} cannot name a module; rename it")
    if place.is_dir() and not (place / "__init__.py").exists():
        return _refused(place.name, f"{place} has no __init__.py, so it is no package; add one")
    try:
        unsafe = changeable((place, *_contents(place)))
        version = _fingerprint(place)
    except OSError as error:
        at = error.filename or place
        return _refused(place.name, f"{at} cannot be read: {error.strerror}")
    if unsafe is not None:
        return _refused(place.name, unsafe)
    load = functools.partial(_load_from_folder, place.parent, name, version)
    return Source(distribution=place.name, version=version, load=load)


def _refused(distribution: str, reason: str) -> Source:
    """A plugin that says why it cannot be loaded when that is tried."""

    def load() -> object:
        raise PluginError(reason)

    return Source(distribution=distribution, version="unknown", load=load)


def _fingerprint(place: Path) -> str:
    """What `sha256sum` says of a file; of a package, the same for the list of its files."""
    if not place.is_dir():
        return _sha256(place)[:_VERSION_DIGITS]
    listed = "".join(f"{_sha256(file)}  {file.relative_to(place)}\n" for file in _files(place))
    return hashlib.sha256(os.fsencode(listed)).hexdigest()[:_VERSION_DIGITS]


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _files(package: Path) -> Iterator[Path]:
    """Every file of a package, data too, in an order that is the same everywhere."""
    return (path for path in _contents(package) if not path.is_dir())


def _contents(package: Path) -> Iterator[Path]:
    """Every file and folder in a package; nothing of a file."""

    def refuse(error: OSError) -> None:
        raise error

    if not package.is_dir():
        return
    for folder, folders, files in os.walk(package, onerror=refuse):
        folders[:] = sorted(f for f in folders if f != "__pycache__" and not f.startswith("."))
        yield from (Path(folder, name) for name in folders)
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


# Importing from the folder

_versions: dict[str, str] = {}  # of the folder's modules that this process has loaded


def _load_from_folder(folder: Path, name: str, version: str) -> object:
    _open_package(folder)
    module = f"{FOLDER_PACKAGE}.{name}"
    if _versions.get(module) != version:  # another content than the one loaded, or a failed import
        _forget(module)
    loaded = importlib.import_module(module)
    _versions[module] = version
    return loaded


def _open_package(folder: Path) -> None:
    package = sys.modules.get(FOLDER_PACKAGE)
    if package is None or list(package.__path__) != [str(folder)]:
        _forget(FOLDER_PACKAGE)
        package = types.ModuleType(FOLDER_PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[FOLDER_PACKAGE] = package
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def _forget(module: str) -> None:
    for name in [n for n in sys.modules if n == module or n.startswith(f"{module}.")]:
        sys.modules.pop(name)
        _versions.pop(name, None)


class _Finder:
    """Finds the folder's modules and leaves everybody else's alone."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None, _target: object = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{FOLDER_PACKAGE}."):
            return None
        finders = (FileFinder(folder, (_Uncached, [".py"])) for folder in path or ())
        return next((spec for f in finders if (spec := f.find_spec(name)) is not None), None)


class _Uncached(SourceFileLoader):
    """Compiles what is in the file now.

    A cached compilation is told from an old one by its second and size: it might not be the
    content that `Source.version` stands for.
    """

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError(f"{path} is not to be cached")

    def get_data(self, path: str) -> bytes:
        """What is in the file, also of one that is no plugin itself and is imported by one."""
        unsafe = changeable([Path(path)])
        if unsafe is not None:
            raise PluginError(unsafe)
        return super().get_data(path)
