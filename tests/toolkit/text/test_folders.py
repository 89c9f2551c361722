"""Folders: which files are read, in which order, and what is skipped."""

from __future__ import annotations

import gzip
import unicodedata
from typing import TYPE_CHECKING

from readings import MIB, refusal
from versemill.text import folders
from versemill.text.folders import HIDDEN, LEADS_OUT, OTHER_ENDING, files_in
from versemill.text.reading import read_any, read_path

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def read(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_in(folder)[0]]


def test_folders_are_read_among_the_files_in_the_order_of_names(tmp_path: Path) -> None:
    names = [
        "a.txt",
        "b/c/2.txt",
        "b/c/10.TXT",
        "b/d.txt",
        "c.txt",
        "e\u0301.txt",
        "z.txt",
        "é/1.txt",
    ]
    write(tmp_path, *reversed(names))
    order = [
        "a.txt",
        "b/c/10.TXT",
        "b/c/2.txt",
        "b/d.txt",
        "c.txt",
        "z.txt",
        "é/1.txt",
        "e\u0301.txt",
    ]
    assert read(tmp_path) == order
    assert list(read_path(tmp_path, limit=MIB).songs) == [
        unicodedata.normalize("NFC", name) for name in order
    ]


def test_what_is_skipped_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    write(tmp_path, "secret.txt", "other/secret.txt")
    write(folder, "a.txt", "b/b.txt", "b/notes.md", "cover.jpg", ".hidden.txt", ".git/x.txt")
    write(folder, "c.lrc")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "b" / "up").symlink_to("..")
    (folder / "other").symlink_to(tmp_path / "other")
    (folder / "in.txt").symlink_to("b/b.txt")
    (folder / "nowhere.txt").symlink_to("nothing")
    assert read(folder) == ["a.txt", "b/b.txt", "in.txt"]
    skipped = {reason: sorted(names) for reason, names in files_in(folder)[1].items()}
    assert skipped == {
        LEADS_OUT: ["b/up", "nowhere.txt", "other", "out.txt"],
        OTHER_ENDING: ["b/notes.md", "c.lrc", "cover.jpg"],
        HIDDEN: [".git", ".hidden.txt"],
    }
    assert read_any(folder, limit=MIB).skipped.keys() == skipped.keys()


def test_a_folder_without_texts_is_read_as_its_other_formats(tmp_path: Path) -> None:
    (tmp_path / "a.lrc").write_text("[00:01.00]la\n[00:02.00]li\n")
    (tmp_path / "b.json").write_text('[{"text": "lo"}, {"text": "lu"}]')
    (tmp_path / "c.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nle\n")
    (tmp_path / "d.md").write_text("no")
    assert read_path(tmp_path, limit=MIB).songs == ("la\nli", "lo", "lu", "le")
    (tmp_path / "e.txt.gz").write_bytes(gzip.compress(b"only this"))
    assert read_path(tmp_path, limit=MIB).songs == ("only this",)


def test_links_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    write(tmp_path, "a/b/c.txt")
    (tmp_path / "a" / "b" / "round").symlink_to(tmp_path / "a", target_is_directory=True)
    assert read(tmp_path) == ["a/b/c.txt"]


def test_depth_and_number_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, *(f"{number}.txt" for number in range(5)))
    monkeypatch.setattr(folders, "MOST_ENTRIES", 5)
    assert len(read(tmp_path)) == 5
    write(tmp_path, ".hidden")
    assert "more than 5 files and folders" in refusal(tmp_path)
    deep = tmp_path / "deep"
    write(deep, "/".join("d" * folders.DEEPEST) + "/a.txt")
    monkeypatch.setattr(folders, "MOST_ENTRIES", 100)
    assert len(read(deep)) == 1
    assert f"more than {folders.DEEPEST} levels of folders" in refusal(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    def scandir(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    scan = os.scandir
    write(tmp_path, "closed/a.txt")
    monkeypatch.setattr(os, "scandir", scandir)
    assert f"cannot read '{tmp_path / 'closed'}': Permission denied" in refusal(tmp_path)


def test_a_folder_without_anything_to_read_says_what_is_read(tmp_path: Path) -> None:
    write(tmp_path, "a/a.md", "b.pdf")
    message = refusal(tmp_path)
    assert "('a/a.md', 'b.pdf')" in message
    assert ".jsonl" in message
