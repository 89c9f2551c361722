"""What tests of reading share."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from versemill.errors import CorpusError
from versemill.text.reading import read_path

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def zipped(path: Path, entries: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def refusal(path: Path, *, limit: int = MIB, song_separator: str | None = None) -> str:
    with pytest.raises(CorpusError) as caught:
        read_path(path, limit=limit, song_separator=song_separator)
    message = str(caught.value)
    assert "\n" not in message
    return message
