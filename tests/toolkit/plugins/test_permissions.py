"""A plugin folder that others could change is refused, and what would mend it is said."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from versemill.plugins.permissions import changeable, replaceable
from versemill.plugins.registry import Registry

PLUGIN = """
from versemill.plugins import Text, hookimpl

@hookimpl
def versemill_register_corpora(register):
    register("{name}", ":read", summary="a corpus")

def read(options):
    return Text(("text",))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin folder with a file and a package."""
    place = tmp_path / "plugins"
    (place / "verses" / "data").mkdir(parents=True)
    (place / "haiku.py").write_text(PLUGIN.format(name="haiku"))
    (place / "verses" / "__init__.py").write_text(PLUGIN.format(name="verses"))
    (place / "verses" / "data" / "words.txt").write_text("moon")
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(place))
    return place


def test_a_folder_of_ones_own(folder: Path) -> None:
    registry = Registry.discover()
    assert registry.disabled == []
    assert registry.has("corpus", "haiku")
    assert registry.has("corpus", "verses")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777])
def test_the_folder_itself(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    registry = Registry.discover()
    assert not registry.has("corpus", "haiku")
    assert registry.has("cell", "gru")
    (disabled,) = registry.disabled
    assert disabled.reason == (
        f"others can write to {folder} (mode {mode:04o}), and so run what they like as you; "
        f"`chmod go-w {folder}`"
    )
    subprocess.run(disabled.reason.split("`")[1].split(), check=True)
    assert Registry.discover().disabled == []


@pytest.mark.parametrize(
    ("path", "plugin"),
    [
        ("haiku.py", "haiku.py"),
        ("verses", "verses"),
        ("verses/__init__.py", "verses"),
        ("verses/data", "verses"),
        ("verses/data/words.txt", "verses"),
    ],
)
def test_a_file_or_folder_in_it(folder: Path, path: str, plugin: str) -> None:
    place = folder / path
    place.chmod(place.stat().st_mode | 0o020)
    registry = Registry.discover()
    (disabled,) = registry.disabled
    assert disabled.distribution == plugin
    assert disabled.reason.endswith(f"`chmod go-w {place}`")
    other = "verses" if plugin == "haiku.py" else "haiku"
    assert registry.has("corpus", other)


def test_a_module_that_is_no_plugin_and_is_imported_by_one(folder: Path) -> None:
    shared = folder / "_shared.py"
    shared.write_text("MOON = 'moon'\n")
    shared.chmod(0o666)
    (folder / "haiku.py").write_text("from . import _shared\n" + PLUGIN.format(name="haiku"))
    (disabled,) = Registry.discover().disabled
    assert f"others can write to {shared} (mode 0666)" in disabled.reason


def test_a_folder_on_the_way(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    between = tmp_path / "between"
    between.mkdir()
    place = folder.rename(between / "plugins")
    between.chmod(0o777)
    said = replaceable(place)
    assert said is not None
    assert said.endswith(f"`chmod go-w {between}`")
    link = tmp_path / "link"
    link.symlink_to(place)
    assert replaceable(link) == said
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(link))
    assert [plugin.reason for plugin in Registry.discover().disabled] == [said]
    between.chmod(0o1777)  # as /tmp is: only the owner can replace what is in it
    assert replaceable(place) is None
    assert Registry.discover().disabled == []


def test_a_link_to_where_others_can_write(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.py").write_text(PLUGIN.format(name="x"))
    (folder / "x.py").symlink_to(elsewhere / "x.py")
    assert Registry.discover().disabled == []
    elsewhere.chmod(0o777)
    (disabled,) = Registry.discover().disabled
    assert (disabled.distribution, str(elsewhere) in disabled.reason) == ("x.py", True)


def found(path: Path, **values: int) -> os.stat_result:
    """What `stat` says of a path, but for some values."""
    names = ("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size")
    real = path.stat()
    message = [values.get(name, getattr(real, name)) for name in names]
    return os.stat_result((*message, 0, 0, 0))


def test_what_belongs_to_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, root = found(tmp_path, st_uid=54321), Path("/").stat()
    monkeypatch.setattr(Path, "stat", lambda path: root if path == Path("/") else theirs)
    for said in (changeable([tmp_path]), replaceable(tmp_path / "x")):
        assert said is not None
        assert " belongs to user 54321, who could have you run what they like" in said


def test_a_group_that_is_the_owners_alone_is_no_danger_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").mkdir()
    tmp_path.chmod(0o775)
    owner: Any = SimpleNamespace(pw_name="ann")
    group: Any = SimpleNamespace(gr_name="ann", gr_mem=[])
    monkeypatch.setattr(pwd, "getpwuid", lambda _: owner)
    monkeypatch.setattr(grp, "getgrgid", lambda _: group)
    assert replaceable(tmp_path / "x") is None
    group.gr_mem = ["bob"]
    assert str(tmp_path) in str(replaceable(tmp_path / "x"))
    group.gr_name, group.gr_mem = "staff", []
    assert str(tmp_path) in str(replaceable(tmp_path / "x"))
    assert changeable([tmp_path]) is not None  # where the plugins are, none will do
