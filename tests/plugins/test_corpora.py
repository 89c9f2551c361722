from __future__ import annotations

import collections
import subprocess
import sys
import unicodedata
import zipfile
from importlib import resources
from typing import TYPE_CHECKING

import pytest

import versemill_plugins
from versemill.plugins import ConfigError, CorpusError, NoOptions
from versemill.plugins.registry import Registry
from versemill.text.options import TextOptions
from versemill.text.splitting import split
from versemill_plugins.corpora import jaychou, starter
from versemill_plugins.options import JaychouOptions

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.plugins import Text

STARTERS = ["starter-zh", "starter-en"]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([versemill_plugins])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VERSEMILL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def read(registry: Registry, name: str) -> Text:
    text: Text = registry.find("corpus", name).load()(NoOptions())
    return text


def packaged(name: str) -> str:
    return (resources.files("versemill_plugins.corpora") / f"{name}.txt").read_text("utf-8")


# The starter corpora


@pytest.mark.parametrize(
    ("name", "songs", "characters"), [("starter-zh", 60, 15_000), ("starter-en", 60, 30_000)]
)
def test_starters_are_as_large_as_promised(
    registry: Registry, name: str, songs: int, characters: int
) -> None:
    text = read(registry, name)
    assert len(text.songs) >= songs
    assert text.characters >= characters
    assert len(text.songs) == packaged(name).count("=== ")


@pytest.mark.parametrize("name", STARTERS)
def test_no_line_belongs_to_two_songs(registry: Registry, name: str) -> None:
    owners: dict[str, set[int]] = collections.defaultdict(set)
    for number, song in enumerate(read(registry, name).songs):
        for line in song.split("\n"):
            owners["".join(filter(str.isalnum, line)).lower()].add(number)
    owners.pop("")
    assert [line for line, songs in owners.items() if len(songs) > 1] == []


@pytest.mark.parametrize("name", STARTERS)
def test_songs_have_verses_and_mostly_a_chorus_that_returns(registry: Registry, name: str) -> None:
    songs = read(registry, name).songs
    assert all(song.count("\n\n") >= 2 for song in songs)
    lines = [[line for line in song.split("\n") if line] for song in songs]
    returning = [song for song in lines if len(set(song)) < len(song)]
    assert len(returning) >= 0.85 * len(songs)


@pytest.mark.parametrize("name", STARTERS)
def test_titles_and_blank_edges_are_not_in_the_text(registry: Registry, name: str) -> None:
    for song in read(registry, name).songs:
        assert "=" not in song
        assert song == song.strip()
        assert "\n\n\n" not in song


@pytest.mark.parametrize("name", STARTERS)
def test_titles_are_present_and_different(name: str) -> None:
    titles = [title for title, _ in starter.titles_and_songs(packaged(name))]
    assert all(titles)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", STARTERS)
def test_the_packaged_text_is_clean(name: str) -> None:
    raw = packaged(name)
    assert unicodedata.is_normalized("NFC", raw)
    assert raw.startswith("=== ")
    assert all(line == line.strip() and "  " not in line for line in raw.split("\n"))
    if name == "starter-zh":
        assert {c for c in raw if not "\u4e00" <= c <= "\u9fff"} == set("= \n")
    else:
        assert {c for c in raw if not (c.isascii() and c.isalnum())} <= set("=\n '\",.!?-:;")


@pytest.mark.parametrize("name", STARTERS)
def test_reading_is_deterministic(registry: Registry, name: str) -> None:
    here = read(registry, name).content_hash
    code = (
        "from versemill.plugins.registry import Registry; from versemill.plugins import NoOptions;"
        "import versemill_plugins, sys; registry = Registry([versemill_plugins]);"
        f"print(registry.find('corpus', {name!r}).load()(NoOptions()).content_hash);"
        "assert 'torch' not in sys.modules"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert elsewhere.stdout.decode().strip() == here


@pytest.mark.parametrize("name", STARTERS)
def test_whole_songs_are_held_out_for_validation_and_test(registry: Registry, name: str) -> None:
    text = read(registry, name)
    parts = split(text, TextOptions())
    assert set(parts.validation) | set(parts.test) < set(text.songs)
    for held_out in (parts.validation, parts.test):
        assert 0.1 <= sum(map(len, held_out)) / text.characters < 0.13
        assert not any(song in parts.training for song in held_out)


@pytest.mark.parametrize("prefix", ["分开", "不分开"])
def test_the_usual_prefixes_occur_in_both_preparations(registry: Registry, prefix: str) -> None:
    text = read(registry, "starter-zh")
    assert split(text, TextOptions()).training.count(prefix) >= 10
    assert prefix in split(text, TextOptions(newlines="space", first=10_000)).training


def test_a_collection_is_taken_apart_at_its_title_lines() -> None:
    collection = "preface\n=== One\n\na = b\n== c\n\n=== Two Words \n d\n\n\n"
    assert starter.titles_and_songs(collection) == [("One", "a = b\n== c"), ("Two Words", " d")]
    assert starter.titles_and_songs("") == []


def test_the_dedication_ships_with_the_lyrics() -> None:
    notice = (resources.files("versemill_plugins.corpora") / "NOTICE").read_text("utf-8")
    assert "CC0-1.0" in notice


# The textbook's corpus


def test_jaychou_is_read_from_the_data_directory(home: Path) -> None:
    (home / "corpora").mkdir(parents=True)
    with zipfile.ZipFile(home / "corpora" / "jaychou_lyrics.txt.zip", "w") as archive:
        archive.writestr("jaychou_lyrics.txt", "一二\r\n三\n")
    text = jaychou.jaychou(JaychouOptions())
    assert text.songs == ("一二\n三\n",)


def test_jaychou_is_read_from_a_given_path(home: Path, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("一二", "utf-8")
    assert jaychou.jaychou(JaychouOptions(path=tmp_path / "here.txt")).songs == ("一二",)


def test_a_missing_jaychou_says_where_to_put_it(home: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="put the file there or set") as caught:
        jaychou.jaychou(JaychouOptions())
    assert str(home / "corpora" / "jaychou_lyrics.txt.zip") in str(caught.value)
    with pytest.raises(CorpusError, match="nowhere"):
        jaychou.jaychou(JaychouOptions(path=tmp_path / "nowhere"))


def test_jaychou_obeys_the_size_limit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSEMILL_CORPUS_LIMIT_MB", "1")
    (home / "corpora").mkdir(parents=True)
    with zipfile.ZipFile(home / "corpora" / "jaychou_lyrics.txt.zip", "w") as archive:
        archive.writestr("jaychou_lyrics.txt", "a" * (1 << 20) + "b")
    with pytest.raises(CorpusError, match="VERSEMILL_CORPUS_LIMIT_MB"):
        jaychou.jaychou(JaychouOptions())


# Registration


def test_the_corpora_are_registered_with_their_options(registry: Registry) -> None:
    assert registry.disabled == []
    assert {"starter-zh", "starter-en", "jaychou"} <= {
        r.name for r in registry.all() if r.kind == "corpus"
    }
    assert registry.find("corpus", "jaychou").validate({}) == {"path": None}
    with pytest.raises(ConfigError, match="path"):
        registry.find("corpus", "jaychou").validate({"path": 3})
    with pytest.raises(ConfigError, match="no such setting"):
        registry.find("corpus", "starter-zh").validate({"path": "x"})
