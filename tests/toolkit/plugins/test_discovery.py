"""Folder plugins: found, loaded under a name of their own, versioned by content."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from typing import TYPE_CHECKING

import pytest

from versemill.plugins import NoOptions
from versemill.plugins.discovery import find_sources
from versemill.plugins.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

CORPUS = """
from versemill.plugins import hookimpl
from versemill.plugins import Text

@hookimpl
def versemill_register_corpora(register):
    register("{name}", {target}, summary="a corpus")

def read(options):
    return Text(("{text}",))
"""


def corpus(name: str, target: str = '":read"', text: str = "text") -> str:
    return CORPUS.format(name=name, target=target, text=text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "plugins"
    place.mkdir()
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(place))
    return place


def read(name: str) -> str:
    registry = Registry.discover()
    assert registry.disabled == []
    return str(registry.find("corpus", name).load()(NoOptions()).songs[0])


def reason() -> tuple[str, str]:
    """Distribution and reason of the one plugin left out; the built-ins are there."""
    registry = Registry.discover()
    assert registry.has("cell", "gru")
    (left_out,) = registry.disabled
    return left_out.distribution, left_out.reason


@pytest.mark.parametrize("target", ['":read"', '"fancy:read"', 'f"{__name__}:read"'])
def test_a_file_is_a_plugin_however_it_names_its_module(folder: Path, target: str) -> None:
    (folder / "fancy.py").write_text(corpus("fancy", target))
    assert read("fancy") == "text"
    content = (folder / "fancy.py").read_bytes()
    assert Registry.discover().find("corpus", "fancy").record({}).to_json() == {
        "kind": "corpus",
        "name": "fancy",
        "distribution": "fancy.py",
        "version": hashlib.sha256(content).hexdigest()[:12],
        "options": {},
    }
    assert [p.name for p in folder.iterdir()] == ["fancy.py"]  # nothing is written there


@pytest.mark.parametrize("name", ["random", "json", "torch", "versemill"])
def test_a_name_that_python_has_too_hides_nothing_and_is_not_hidden(
    folder: Path, name: str
) -> None:
    (folder / f"{name}.py").write_text(corpus("mine", f'"{name}:read"', name))
    assert read("mine") == name
    assert sys.modules["json"] is json
    assert sys.modules["random"] is random
    assert str(folder) not in sys.path


def test_a_package_with_modules_and_data(folder: Path) -> None:
    package = folder / "epic"
    package.mkdir()
    (package / "__init__.py").write_text(corpus("epic", '"epic.tale:read"'))
    (package / "tale.py").write_text(
        "from importlib.resources import files\n"
        "from . import __name__ as above\n"
        "from versemill.plugins import Text\n"
        "def read(options):\n"
        "    return Text((files(above).joinpath('tale.txt').read_text(),))\n"
    )
    (package / "tale.txt").write_text("once upon a time")
    assert read("epic") == "once upon a time"
    before = Registry.discover().find("corpus", "epic")
    assert before.distribution == "epic"
    (package / "tale.txt").write_text("once upon a tide")
    assert Registry.discover().find("corpus", "epic").version != before.version
    (package / "tale.txt").write_text("once upon a time")
    assert Registry.discover().find("corpus", "epic").version == before.version


def test_what_is_loaded_is_what_the_version_says(folder: Path) -> None:
    place = folder / "fancy.py"
    place.write_text(corpus("fancy", text="one"))
    stat = place.stat()
    assert read("fancy") == "one"
    place.write_text(corpus("fancy", text="two"))  # as long, and of the same moment
    os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert read("fancy") == "two"


def test_another_folder_has_other_plugins(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "fancy.py").write_text(corpus("fancy", text="here"))
    assert read("fancy") == "here"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "fancy.py").write_text(corpus("fancy", text="there"))
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(tmp_path / "other"))
    assert read("fancy") == "there"


def test_what_is_no_plugin_is_left_alone(folder: Path) -> None:
    for name in ("_draft.py", ".hidden.py", "notes.txt"):
        (folder / name).write_text("raise ValueError")
    (folder / "data").mkdir()
    (folder / "__pycache__").mkdir()
    assert Registry.discover().disabled == []
    assert all(source.built_in for source in find_sources())


def test_a_missing_folder_is_named(folder: Path) -> None:
    folder.rmdir()
    assert reason() == (
        str(folder),
        "VERSEMILL_PLUGINS names no folder that can be read: No such file or directory",
    )


def test_a_file_in_its_place_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "fancy.py").write_text(corpus("fancy"))
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(folder / "fancy.py"))
    assert "Not a directory" in reason()[1]


def test_something_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "gone.py").symlink_to(folder / "nowhere")
    assert reason() == (
        "gone.py",
        f"{folder / 'gone.py'} cannot be read: No such file or directory",
    )


def test_a_fifo_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.py")
    assert "cannot be read: not a regular file" in reason()[1]


@pytest.mark.parametrize("name", ["my-corpus.py", "a.b.py", "2.py"])
def test_a_name_that_is_none_for_a_module(folder: Path, name: str) -> None:
    (folder / name).write_text(corpus("fancy"))
    assert "cannot name a module; rename it" in reason()[1]


def test_a_folder_that_is_no_package(folder: Path) -> None:
    (folder / "epic").mkdir()
    (folder / "epic" / "tale.py").write_text("")
    assert "has no __init__.py" in reason()[1]


def test_a_file_and_a_package_of_one_name(folder: Path) -> None:
    (folder / "epic").mkdir()
    (folder / "epic" / "__init__.py").write_text(corpus("epic"))
    (folder / "epic.py").write_text(corpus("epic2"))
    distribution, message = reason()
    assert distribution == "epic.py"
    assert "has the name of epic beside it" in message


def test_a_file_without_a_hook_is_named(folder: Path) -> None:
    (folder / "fancy.py").write_text("x = 1")
    distribution, message = reason()
    assert distribution == "fancy.py"
    assert message.startswith("it has no hook")


def test_a_file_that_failed_is_tried_again(folder: Path) -> None:
    (folder / "fancy.py").write_text("import no_such_module")
    assert "install what provides 'no_such_module'" in reason()[1]
    (folder / "fancy.py").write_text(corpus("fancy"))
    assert read("fancy") == "text"
