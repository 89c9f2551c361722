"""The well-known `jaychou_lyrics.txt.zip` of many tutorials. Versemill does not contain it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.plugins import CorpusError
from versemill.settings import Settings
from versemill.text.reading import read_path

if TYPE_CHECKING:
    from versemill.plugins import Text
    from versemill_plugins.options import JaychouOptions

FILE = "jaychou_lyrics.txt.zip"


def jaychou(options: JaychouOptions) -> Text:
    """Reads the file from `options.path`, or from `corpora/` in the data directory.

    Raises:
        CorpusError: it is not there (the message says where to put it) or cannot be read.
    """
    settings = Settings.from_environment()
    path = settings.home / "corpora" / FILE
    if options.path is not None:
        path = options.path.expanduser()
    if not path.exists():
        raise CorpusError(
            f"the corpus jaychou needs {FILE}, which Versemill does not ship: nothing at "
            f"{str(path)!r}; put the file there or set corpus_options.path to where it is"
        )
    return read_path(path, limit=settings.corpus_limit)
