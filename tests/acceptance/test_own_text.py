"""A text file becomes a trained job's lyrics in two commands."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from versemill.plugins import NoOptions
from versemill_plugins.corpora.starter import chinese

if TYPE_CHECKING:
    from pathlib import Path

TWO_COMMANDS = (
    "versemill corpora add 诗集 诗集.txt --song-separator ---",
    "versemill run --corpus 诗集 --prefix 春天 --epochs 2 --set model.hidden_size=12"
    " --set model.embedding_size=8 --set generation.length=30",
)


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_text_becomes_lyrics_in_two_commands(
    tmp_path: Path, newcomer: dict[str, str], encoding: str
) -> None:
    songs = "\n---\n".join(chinese(NoOptions()).songs[:20])
    (tmp_path / "诗集.txt").write_bytes(songs.encode(encoding))
    added, written = (
        subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=newcomer,
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout.decode()
        for command in TWO_COMMANDS
    )
    assert f"20 songs, read as {encoding.upper()}" in added
    assert "after '春天':\n    春天" in written
