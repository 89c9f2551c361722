"""`make release-check`: what it would find. That it passes is for whoever publishes, and for CI."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import release_check

from documents import ROOT, read
from fresh import build_sdist, build_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def archive(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def test_a_difference_between_two_wheels_is_named(tmp_path: Path) -> None:
    one = archive(tmp_path / "one.whl", kept="1", lost="2", changed="3")
    other = archive(tmp_path / "other.whl", kept="1", changed="4", added="5")
    assert release_check.different_files(one, one) == []
    assert release_check.different_files(one, other) == [
        "added is new",
        "changed is changed",
        "lost is missing",
    ]


def test_the_source_archive_gives_the_same_wheel(tmp_path: Path) -> None:
    sdist = build_sdist(tmp_path / "sdist")
    again = build_wheel(tmp_path / "again", release_check.unpacked(sdist, tmp_path))
    assert release_check.different_files(build_wheel(tmp_path / "wheel"), again) == []
    with tarfile.open(sdist) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"README.md", "LICENSE", "SECURITY.md", "CHANGELOG.md"} <= names


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Has the steps that build, install and run do nothing, but for what a test says."""

    def stub(version: str = "0.1.0", twine: int = 0, demo: str = "") -> None:
        def run(*command: str, timeout: float = 60) -> str:
            assert command[1] != "demo" or not demo, demo
            return f"versemill {version}\n"

        built = archive(tmp_path / "x.whl", file="1")
        fakes = {
            "build_wheel": lambda *_: built,
            "build_sdist": lambda *_: tmp_path / "x.tar.gz",
            "unpacked": lambda *_: tmp_path,
            "install": lambda *_: SimpleNamespace(run=run),
        }
        for name, fake in fakes.items():
            monkeypatch.setattr(release_check, name, fake)
        done = subprocess.CompletedProcess([], twine, stdout="long_description: FAILED", stderr="")
        monkeypatch.setattr(release_check.subprocess, "run", lambda *_, **__: done)

    return stub


def test_every_step_is_told(stubbed: Callable[..., None], capfd: pytest.CaptureFixture) -> None:
    stubbed(release_check.version())
    assert release_check.main() == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line[:8] for line in lines[:-1]] == ["ok      "] * 6
    assert lines[-1] == f"versemill {release_check.version()} can be published"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"version": "9.9"}, "versemill --version prints 'versemill 9.9', not "),
        ({"twine": 1}, "twine check: long_description: FAILED"),
        ({"demo": "versemill: no memory"}, "versemill: no memory"),
    ],
)
def test_what_failed_is_told(
    stubbed: Callable[..., None],
    capfd: pytest.CaptureFixture,
    wrong: dict[str, object],
    words: str,
) -> None:
    stubbed(**{"version": release_check.version(), **wrong})
    assert release_check.main() == 1
    failed = capfd.readouterr().err
    assert failed.startswith("FAILED  ")
    assert words in failed


@pytest.mark.parametrize(
    "name",
    ["Makefile", "Dockerfile", "docker-compose.yml", "toolkit/versemill/__init__.py", "README.md"],
)
def test_the_version_stands_in_pyproject_alone(name: str) -> None:
    assert release_check.version() not in read(name)
    assert (ROOT / "pyproject.toml").read_text().count(f'"{release_check.version()}"') == 1
