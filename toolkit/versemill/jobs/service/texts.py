"""From what somebody wrote after `corpus =` to the text itself; and corpora from plugins or files.

What there is to tell beside the text comes back as notices.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from versemill.errors import (
    ConfigError,
    CorpusError,
    PluginError,
    TextError,
    UnknownNameError,
    VersemillError,
)
from versemill.files import spelled_as_there
from versemill.jobs.json_values import View
from versemill.jobs.notices import CorpusOutside, EncodingFound, FilesSkipped, Notice, PluginPrinted
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

FROM_STDIN = "-"
"""What stands for standard input, where the path of a corpus is wanted."""

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
                path = spelled_as_there(Path(value)).expanduser().resolve()
                outside = not path.is_relative_to(self.file.resolve().parent) and path.exists()
            except (OSError, RuntimeError, ValueError) as error:  # no home, a loop, a null byte
                raise CorpusError(f"{value!r} is not a usable path: {error}") from None
            if outside:
                yield CorpusOutside(file=str(self.file), path=str(path))


@dataclass(frozen=True, kw_only=True)
class TextSources:
    """What the texts of corpora may be read from.

    Attributes:
        limit: most bytes read of one.
        stdin: what `-` stands for; None where there is nothing.
        named: what of a job's corpus a job file says; a notice names paths outside its folder.
    """

    limit: int
    stdin: IO[bytes] | None = None
    named: NamedByFile | None = None

    def read(self, place: str, **options: Any) -> Reading:
        """Reads a path, or standard input where it is `-`; options and errors as for `read_any`."""
        from versemill.text.reading import STANDARD_INPUT, read_any

        if place != FROM_STDIN:
            return read_any(Path(place), limit=self.limit, **options)
        if self.stdin is None:
            raise CorpusError("nothing can be read from standard input: it is closed")
        return read_any(Path(STANDARD_INPUT), limit=self.limit, stream=self.stdin, **options)

    def paths_outside(self, *values: object) -> tuple[Notice, ...]:
        """Those among `values` that a job file names, and that lie outside its folder."""
        return () if self.named is None else tuple(self.named.paths_outside(*values))


@dataclass(frozen=True, kw_only=True)
class CorpusFromPath:
    """What adding a corpus from a path has done.

    Attributes:
        added: the corpus.
        reading: what was read.
        notices: what there is to tell of the reading.
    """

    added: AddedCorpus
    reading: Reading
    notices: tuple[Notice, ...] = ()


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
    sources: TextSources,
    *,
    place: str | None = None,
) -> FoundText:
    """The text of a job's corpus: a plugin's, one added by name, or one read from a path.

    Args:
        store: where named corpora are.
        config: the job.
        registry: where plugins' corpora are.
        sources: what may be read.
        place: the corpus as it was written, before it was brought into NFC: a path may not be.

    Raises:
        UnknownNameError: nothing has that name, and nothing is at that path.
        CorpusError: it cannot be read, or no line equals the song separator.
    """
    separator, field = config.text.song_separator, config.text.field
    outside: tuple[Notice, ...] = ()
    if registry.has("corpus", config.corpus):
        outside = sources.paths_outside(*config.corpus_options.values())
    found = _by_name(store, config.corpus, registry, config.corpus_options)
    if found is None:
        place = config.corpus if place is None else place
        outside = sources.paths_outside(place)
        found = _from_path(store, place, registry, sources, separator=separator, field=field)
    else:
        _refuse_field(field, config.corpus)
        if separator is not None and not found.text.segmented:
            from versemill.text.reading import check_separator

            check_separator(found.text.songs, separator, config.corpus)
    return replace(found, notices=(*outside, *found.notices))


def named_text(
    store: Store,
    name: str,
    registry: Registry,
    sources: TextSources,
    *,
    field: str | None = None,
) -> FoundText:
    """The text of a corpus by name, or of a path.

    Args:
        store: where named corpora are.
        name: the corpus.
        registry: where plugins' corpora are.
        sources: what may be read.
        field: of JSON or CSV at a path: what holds the text of each record.

    Raises:
        UnknownNameError: nothing has that name, and nothing is at that path.
        CorpusError: it cannot be read.
    """
    found = _by_name(store, name, registry, {})
    if found is None:
        return _from_path(store, name, registry, sources, field=field)
    _refuse_field(field, name)
    return found


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
    place: str,
    principal: Principal,
    *,
    registry: Registry,
    sources: TextSources,
    song_separator: str | None = None,
    encoding: str | None = None,
    field: str | None = None,
    newlines: Literal["keep", "space"] = "keep",
) -> CorpusFromPath:
    """Reads a text and adds it as a corpus, or lets its name stand for it from now on.

    Args:
        store: where to.
        name: what jobs will call it.
        place: the path of a text file, a zip with one text, or a folder; `-` for standard input.
        principal: who adds it.
        registry: whose corpora keep their names.
        sources: what may be read.
        song_separator: the line between two songs.
        encoding: of its files that are not UTF-8; recognised when None.
        field: of JSON or CSV: what holds the text of each record.
        newlines: keep line ends, or store a space for each.

    Raises:
        ConfigError: the name is malformed, or a plugin's corpus has it.
        CorpusError: the text cannot be read.
    """
    from versemill.text.reading import STANDARD_INPUT

    if registry.has("corpus", name):
        raise ConfigError("corpus name", name, "a name that no plugin's corpus has")
    reading = sources.read(
        place,
        song_separator=song_separator,
        encoding=encoding,
        field=field,
        newlines=newlines,
    )
    stdin = place == FROM_STDIN
    source = STANDARD_INPUT if stdin else str(Path(place).expanduser().absolute())
    added = corpora.add_corpus(store, name, reading.text, source, principal)
    return CorpusFromPath(added=added, reading=reading, notices=reading_notices(place, reading))


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
    except BaseException as error:  # third-party code may raise anything
        raise PluginError(f"{registration.label} raised {in_short(error)}") from error
    if not isinstance(text, Text):
        raise PluginError(
            f"{registration.label} returned a {type(text).__name__}, not a versemill.plugins.Text"
        )
    said = PluginPrinted(plugin=registration.label, output=printed.text)
    text = _cleaned(text, registration.label)
    return FoundText(text=text, notices=(said,) if printed.text else ())


def _cleaned(text: Text, label: str) -> Text:
    """What a plugin returned, in the form that all text has."""
    from versemill.normalisation import cleaned
    from versemill.text.corpus import Text

    songs = []
    for number, song in enumerate(text.songs, 1):
        if not isinstance(song, str):
            raise PluginError(f"{label} returned a {type(song).__name__} as song {number:,}")
        try:
            songs.append(cleaned(song))
        except TextError as error:
            raise CorpusError(
                f"song {number:,} of {label} is not allowed: {error.reason}"
            ) from None
    return Text(tuple(songs))


def _refuse_field(field: str | None, name: str) -> None:
    """Raises `ConfigError` if a field is named for a corpus that is no file."""
    if field is not None:
        raise ConfigError("corpus_options.field", field, f"only for JSON and CSV, not for {name}")


def _from_path(
    store: Store,
    place: str,
    registry: Registry,
    sources: TextSources,
    *,
    separator: str | None = None,
    field: str | None = None,
) -> FoundText:
    """Reads a path or standard input, in whatever encoding.

    Raises:
        UnknownNameError: `place` is neither the path of something nor looks like one.
        CorpusError: it cannot be read.
    """
    path = Path(place)
    if place != FROM_STDIN and not _looks_like_path(place) and not path.exists():
        known = [offered.name for offered in offered_corpora(store, registry)]
        hint = "or give the path of a text file, a zip or a folder"
        raise UnknownNameError("corpus", place, known, hint=hint)
    reading = sources.read(place, song_separator=separator, field=field)
    return FoundText(text=reading.text, notices=reading_notices(place, reading))


def reading_notices(place: str, reading: Reading) -> tuple[Notice, ...]:
    """What there is to tell of a reading: what was skipped, and an encoding that is not UTF-8."""
    from versemill.text.archives import quoted
    from versemill.text.encodings import UTF_8, shown
    from versemill.text.reading import STANDARD_INPUT

    notices_found: list[Notice] = []
    if reading.skipped:
        files = {why: tuple(map(quoted, names)) for why, names in reading.skipped.items()}
        notices_found.append(FilesSkipped(files=files))
    if reading.guessed or reading.encoding != UTF_8:
        found = EncodingFound(
            place=STANDARD_INPUT if place == FROM_STDIN else place,
            encoding=shown(reading.encoding),
            guessed=reading.guessed,
            files=tuple(reading.guessed_files),
            beginning=beginning(reading.text),
        )
        notices_found.append(found)
    return tuple(notices_found)


def _looks_like_path(place: str) -> bool:
    from versemill.text.formats import READ_ENDINGS

    return (
        os.sep in place
        or place.startswith(("~", "."))
        or (Path(place).suffix.lower() in {".txt", ".zip", ".gz", *READ_ENDINGS})
    )
