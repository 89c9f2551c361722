"""From what somebody wrote after `corpus =` to the text itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from versemill.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.cli.installation import Installation
    from versemill.config.job import JobConfig
    from versemill.plugins.registry import Registry
    from versemill.text.corpus import Text
    from versemill.text.reading import Reading


FROM_STDIN = "-"
"""What stands for standard input, where the path of a corpus is wanted."""

_FILES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class NamedByFile:
    """What a job file, and not the command line, says of its corpus.

    Attributes:
        file: the job file. It may come from somebody else.
        values: the texts among its corpus and the options of that.
    """

    file: Path
    values: frozenset[str]

    def tell_path_outside(self, value: object) -> None:
        """Says on stderr which path is read, if the file names one outside its own folder."""
        from versemill.cli.installation import note
        from versemill.errors import CorpusError

        if not isinstance(value, str) or value not in self.values:
            return
        try:
            path = Path(value).expanduser().resolve()
            outside = not path.is_relative_to(self.file.resolve().parent) and path.exists()
        except (OSError, RuntimeError, ValueError) as error:  # no home, a loop, a null byte
            raise CorpusError(f"{value!r} is not a usable path: {error}") from None
        if outside:
            note(f"job file {self.file} has its corpus read from {path}")


def find_text(
    here: Installation,
    config: JobConfig,
    registry: Registry,
    *,
    named: NamedByFile | None = None,
    place: str | None = None,
) -> Text:
    """The text of a job's corpus: a plugin's, one added by name, or one read from a path.

    Args:
        here: the installation.
        config: the job.
        registry: where a corpus plugin is looked up.
        named: what of it a job file says; paths outside its folder are told on stderr.
        place: the corpus as it was written, before it was brought into NFC: a path may not be.

    Raises:
        UnknownNameError: nothing has that name, and nothing is at that path.
        CorpusError: it cannot be read, or no line equals the song separator.
    """
    from versemill.jobs import service

    separator, field = config.text.song_separator, config.text.field
    if registry.has("corpus", config.corpus):
        if named is not None:
            for value in config.corpus_options.values():
                named.tell_path_outside(value)
        text: Text | None = plugin_text(registry, config.corpus, config.corpus_options)
    else:
        text = service.corpus_text(here.store, config.corpus)
    if text is None:
        place = config.corpus if place is None else place
        if named is not None:
            named.tell_path_outside(place)
        return read_corpus(here, place, registry, separator=separator, field=field)
    refuse_field(field, config.corpus)
    if separator is not None and not text.segmented:
        from versemill.text.reading import check_separator

        check_separator(text.songs, separator, config.corpus)
    return text


def plugin_text(registry: Registry, name: str, options: Mapping[str, Any]) -> Text:
    """The text that a corpus plugin returns for these options; what it prints goes to stderr.

    Raises:
        PluginError: it cannot be loaded, raises something, or returns something else.
        CorpusError: it says that it cannot be read.
    """
    import sys

    from versemill.errors import PluginError, VersemillError
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
    sys.stderr.write(printed.text)
    if not isinstance(text, Text):
        raise PluginError(
            f"{registration.label} returned a {type(text).__name__}, not a versemill.plugins.Text"
        )
    return _cleaned(text, registration.label)


def _cleaned(text: Text, label: str) -> Text:
    """What a plugin returned, in the form that all text has."""
    from versemill.errors import CorpusError, PluginError, TextError
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


def refuse_field(field: str | None, name: str) -> None:
    """Raises `ConfigError` if a field is named for a corpus that is no file."""
    from versemill.errors import ConfigError

    if field is not None:
        raise ConfigError("corpus_options.field", field, f"only for JSON and CSV, not for {name}")


def read_place(here: Installation, place: str, **options: Any) -> Reading:
    """Reads a path, or standard input where it is `-`; options and errors as for `read_any`."""
    import sys

    from versemill.errors import CorpusError
    from versemill.text.reading import STANDARD_INPUT, read_any

    limit = here.settings.corpus_limit
    if place != FROM_STDIN:
        return read_any(Path(place), limit=limit, **options)
    if sys.stdin is None:  # closed by whoever started us
        raise CorpusError("nothing can be read from standard input: it is closed")
    return read_any(Path(STANDARD_INPUT), limit=limit, stream=sys.stdin.buffer, **options)


def source_of(place: str) -> str:
    """Where a text was read from, for listings."""
    from versemill.text.reading import STANDARD_INPUT

    return STANDARD_INPUT if place == FROM_STDIN else str(Path(place).expanduser().absolute())


def read_corpus(
    here: Installation,
    place: str,
    registry: Registry,
    *,
    separator: str | None = None,
    field: str | None = None,
) -> Text:
    """Reads a path or standard input; what is not UTF-8 and what is skipped is told on stderr.

    Raises:
        UnknownNameError: `place` is neither the path of something nor looks like one.
        CorpusError: it cannot be read.
    """
    from versemill.jobs import service
    from versemill.text.reading import STANDARD_INPUT

    path = Path(place)
    if place != FROM_STDIN and not _looks_like_path(place) and not path.exists():
        known = [r.name for r in registry.all() if r.kind == "corpus"]
        known += [view.name for view in service.list_corpora(here.store)]
        hint = "or give the path of a text file, a zip or a folder"
        raise UnknownNameError("corpus", place, known, hint=hint)
    reading = read_place(here, place, song_separator=separator, field=field)
    _tell_encoding(STANDARD_INPUT if place == FROM_STDIN else place, reading)
    return reading.text


def beginning(text: Text) -> str:
    """How a text begins, for people to see whether it was read rightly."""
    from versemill.cli.terminal.tables import printable

    return printable(" ".join(text.songs[0][:200].split())[:40])


def guessed_shown(reading: Reading) -> str:
    """Which files of a folder were guessed, as part of a sentence."""
    from versemill.phrases import listed

    return f" of {listed(reading.guessed_files, _FILES_SHOWN)}" if reading.guessed_files else ""


def skipped_shown(reading: Reading) -> list[str]:
    """What of a folder was not read, in one line; nothing if everything was."""
    from versemill.phrases import listed
    from versemill.text.archives import quoted

    if not reading.skipped:
        return []
    parts = [
        f"{what}: {listed(list(map(quoted, names)), _FILES_SHOWN)}"
        for what, names in reading.skipped.items()
    ]
    return [f"skipped in the folder: {'; '.join(parts)}"]


def _tell_encoding(place: str, reading: Reading) -> None:
    from versemill.cli.installation import note
    from versemill.text.encodings import UTF_8, shown

    for line in skipped_shown(reading):
        note(line)
    if reading.guessed:
        note(
            f"{place} is read as {shown(reading.encoding)}, a guess{guessed_shown(reading)}; "
            f"it begins: {beginning(reading.text)}; if that is wrong, "
            "`versemill corpora add NAME PATH` with --encoding"
        )
    elif reading.encoding != UTF_8:
        note(f"{place} is read as {shown(reading.encoding)}")


def _looks_like_path(place: str) -> bool:
    from versemill.text.formats import READ_ENDINGS

    return (
        os.sep in place
        or place.startswith(("~", "."))
        or (Path(place).suffix.lower() in {".txt", ".zip", ".gz", *READ_ENDINGS})
    )
