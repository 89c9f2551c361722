"""From what somebody wrote after `corpus =` to the text itself."""

from __future__ import annotations

import os
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


def find_text(here: Installation, config: JobConfig, registry: Registry) -> Text:
    """The text of a job's corpus: a plugin's, one added by name, or one read from a path.

    Raises:
        UnknownNameError: nothing has that name, and nothing is at that path.
        CorpusError: it cannot be read, or no line equals the song separator.
    """
    from versemill.jobs import service

    separator = config.text.song_separator
    if registry.has("corpus", config.corpus):
        text: Text | None = plugin_text(registry, config.corpus, config.corpus_options)
    else:
        text = service.corpus_text(here.store, config.corpus)
    if text is None:
        return read_corpus(here, config.corpus, registry, separator=separator)
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
    return text


def read_corpus(
    here: Installation, place: str, registry: Registry, *, separator: str | None = None
) -> Text:
    """Reads a path, in whatever encoding; one that is not UTF-8 is told on stderr.

    Raises:
        UnknownNameError: `place` is neither the path of something nor looks like one.
        CorpusError: it cannot be read.
    """
    from versemill.jobs import service
    from versemill.text.reading import read_any

    path = Path(place)
    if not _looks_like_path(place) and not path.exists():
        known = [r.name for r in registry.all() if r.kind == "corpus"]
        known += [view.name for view in service.list_corpora(here.store)]
        hint = "or give the path of a text file, a zip or a folder"
        raise UnknownNameError("corpus", place, known, hint=hint)
    reading = read_any(path, limit=here.settings.corpus_limit, song_separator=separator)
    _tell_encoding(place, reading)
    return reading.text


def beginning(text: Text) -> str:
    """How a text begins, for people to see whether it was read rightly."""
    from versemill.cli.terminal.tables import printable

    return printable(" ".join(text.songs[0][:200].split())[:40])


def _tell_encoding(place: str, reading: Reading) -> None:
    from versemill.cli.installation import note
    from versemill.text.encodings import UTF_8, shown

    if reading.guessed:
        note(
            f"{place} is read as {shown(reading.encoding)}, a guess; it begins: "
            f"{beginning(reading.text)}; if that is wrong, `versemill corpora add NAME PATH` "
            "with --encoding"
        )
    elif reading.encoding != UTF_8:
        note(f"{place} is read as {shown(reading.encoding)}")


def _looks_like_path(place: str) -> bool:
    return os.sep in place or place.startswith(("~", ".")) or Path(place).suffix in {".txt", ".zip"}
