"""From what somebody wrote after `corpus =` to the text itself; and corpora from plugins or files.

What there is to tell beside the text comes back as notices.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from versemill.errors import ConfigError, CorpusError, PluginError, UnknownNameError, VersemillError
from versemill.jobs.json_values import View
from versemill.jobs.notices import CorpusOutside, EncodingFound, Notice, PluginPrinted
from versemill.jobs.service import corpora

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from versemill.config.job import JobConfig
    from versemill.jobs.service.principal import Principal
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import AddedCorpus
    from versemill.plugins.registry import Registry
    from versemill.text.corpus import Text
    from versemill.text.reading import Reading

_BEGINNING = 40  # characters


@dataclass(frozen=True, kw_only=True)
class FoundText:
    """A text, and what there is to tell of how it was found."""

    text: Text
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NamedByFile:
    """What a job file, and not whoever submits it, says of its corpus.

    Attributes:
        file: the job file. It may come from somebody else.
        values: the texts among its corpus and the options of that.
    """

    file: Path
    values: frozenset[str]

    def paths_outside(self, *values: object) -> Iterator[CorpusOutside]:
        """The paths outside the file's folder that it names, where something is there."""
        for value in values:
            if not isinstance(value, str) or value not in self.values:
                continue
            try:
                path = Path(value).expanduser().resolve()
                outside = not path.is_relative_to(self.file.resolve().parent) and path.exists()
            except (OSError, RuntimeError, ValueError) as error:  # no home, a loop, a null byte
                raise CorpusError(f"{value!r} is not a usable path: {error}") from None
            if outside:
                yield CorpusOutside(file=str(self.file), path=str(path))


@dataclass(frozen=True, kw_only=True)
class CorpusFromPath:
    """What adding a corpus from a path has done.

    Attributes:
        added: the corpus.
        reading: what was read.
    """

    added: AddedCorpus
    reading: Reading


@dataclass(frozen=True, kw_only=True)
class OfferedCorpus(View):
    """A corpus that a job can name.

    Attributes:
        source: the distribution of its plugin, or who added it.
        characters: None, like the two below, for a plugin's, which is not read to list it.
    """

    name: str
    source: str
    summary: str
    characters: int | None = None
    songs: int | None = None
    content_hash: str | None = None


def find_text(
    store: Store,
    config: JobConfig,
    registry: Registry,
    *,
    limit: int,
    named: NamedByFile | None = None,
) -> FoundText:
    """The text of a job's corpus: a plugin's, one added by name, or one read from a path.

    Args:
        store: where named corpora are.
        config: the job.
        registry: where plugins' corpora are.
        limit: most bytes read from a path.
        named: what of the corpus a job file says; a notice tells of paths outside its folder.

    Raises:
        UnknownNameError: nothing has that name, and nothing is at that path.
        CorpusError: it cannot be read, or no line equals the song separator.
    """
    separator = config.text.song_separator
    outside: tuple[Notice, ...] = ()
    if named is not None and registry.has("corpus", config.corpus):
        outside = tuple(named.paths_outside(*config.corpus_options.values()))
    found = _by_name(store, config.corpus, registry, config.corpus_options)
    if found is None:
        if named is not None:
            outside = tuple(named.paths_outside(config.corpus))
        found = _from_path(store, config.corpus, registry, limit=limit, separator=separator)
        return replace(found, notices=(*outside, *found.notices))
    found = replace(found, notices=(*outside, *found.notices))
    if separator is not None and not found.text.segmented:
        from versemill.text.reading import check_separator

        check_separator(found.text.songs, separator, config.corpus)
    return found


def named_text(store: Store, name: str, registry: Registry, *, limit: int) -> FoundText:
    """The text of a corpus by name, or of a path; arguments and errors as for `find_text`."""
    found = _by_name(store, name, registry, {})
    return found or _from_path(store, name, registry, limit=limit)


def offered_corpora(store: Store, registry: Registry) -> list[OfferedCorpus]:
    """Every corpus that a job can name: those of plugins, and those added."""
    rows = [
        OfferedCorpus(
            name=offered.name,
            source=f"{offered.distribution} {offered.version}",
            summary=offered.summary,
        )
        for offered in registry.all()
        if offered.kind == "corpus"
    ]
    rows += [
        OfferedCorpus(
            name=view.name,
            source=f"added by {view.added_by}",
            summary=view.source,
            characters=view.characters,
            songs=view.songs,
            content_hash=view.content_hash,
        )
        for view in corpora.list_corpora(store)
    ]
    return rows


def add_corpus_from_path(
    store: Store,
    name: str,
    path: Path,
    principal: Principal,
    *,
    registry: Registry,
    limit: int,
    song_separator: str | None = None,
    encoding: str | None = None,
    newlines: Literal["keep", "space"] = "keep",
) -> CorpusFromPath:
    """Reads a text and adds it as a corpus, or lets its name stand for it from now on.

    Args:
        store: where to.
        name: what jobs will call it.
        path: a text file, a zip with one text, or a folder.
        principal: who adds it.
        registry: whose corpora keep their names.
        limit: most bytes read.
        song_separator: the line between two songs.
        encoding: of its files; recognised when None.
        newlines: keep line ends, or store a space for each.

    Raises:
        ConfigError: the name is malformed, or a plugin's corpus has it.
        CorpusError: the text cannot be read.
    """
    from versemill.text.reading import read_any

    if registry.has("corpus", name):
        raise ConfigError("corpus name", name, "a name that no plugin's corpus has")
    reading = read_any(
        path, limit=limit, song_separator=song_separator, encoding=encoding, newlines=newlines
    )
    source = str(path.expanduser().absolute())
    added = corpora.add_corpus(store, name, reading.text, source, principal)
    return CorpusFromPath(added=added, reading=reading)


def beginning(text: Text) -> str:
    """How a text begins, for people to see whether it was read rightly."""
    return " ".join(text.songs[0][:200].split())[:_BEGINNING]


def _by_name(
    store: Store, name: str, registry: Registry, options: Mapping[str, Any]
) -> FoundText | None:
    if registry.has("corpus", name):
        return _from_plugin(registry, name, options)
    text = corpora.corpus_text(store, name)
    return None if text is None else FoundText(text=text)


def _from_plugin(registry: Registry, name: str, options: Mapping[str, Any]) -> FoundText:
    """The text that a corpus plugin returns for these options.

    Raises:
        PluginError: it cannot be loaded, raises something, or returns something else.
        CorpusError: it says that it cannot be read.
    """
    from versemill.plugins.isolation import captured
    from versemill.plugins.registry import in_short
    from versemill.text.corpus import Text

    registration = registry.find("corpus", name)
    corpus, chosen = registration.load(), registration.options_from(options)
    try:
        with captured() as printed:
            text = corpus(chosen)
    except (VersemillError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a stranger's code may raise anything
        raise PluginError(f"{registration.label} raised {in_short(error)}") from error
    if not isinstance(text, Text):
        raise PluginError(
            f"{registration.label} returned a {type(text).__name__}, not a versemill.plugins.Text"
        )
    said = PluginPrinted(plugin=registration.label, output=printed.text)
    return FoundText(text=text, notices=(said,) if printed.text else ())


def _from_path(
    store: Store, place: str, registry: Registry, *, limit: int, separator: str | None = None
) -> FoundText:
    """Reads a path, in whatever encoding.

    Raises:
        UnknownNameError: `place` is neither the path of something nor looks like one.
        CorpusError: it cannot be read.
    """
    from versemill.text.encodings import UTF_8, shown
    from versemill.text.reading import read_any

    path = Path(place)
    if not _looks_like_path(place) and not path.exists():
        known = [offered.name for offered in offered_corpora(store, registry)]
        hint = "or give the path of a text file, a zip or a folder"
        raise UnknownNameError("corpus", place, known, hint=hint)
    reading = read_any(path, limit=limit, song_separator=separator)
    if not reading.guessed and reading.encoding == UTF_8:
        return FoundText(text=reading.text)
    found = EncodingFound(
        place=place,
        encoding=shown(reading.encoding),
        guessed=reading.guessed,
        beginning=beginning(reading.text),
    )
    return FoundText(text=reading.text, notices=(found,))


def _looks_like_path(place: str) -> bool:
    return os.sep in place or place.startswith(("~", ".")) or Path(place).suffix in {".txt", ".zip"}
