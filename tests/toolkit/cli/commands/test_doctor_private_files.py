"""What Versemill writes is its owner's alone; `doctor` finds what is not, and its advice works."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from command_line import TINY_OPTIONS, environment
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[0o000, 0o022], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(*places: Path) -> dict[str, int]:
    return {place.name: stat.S_IMODE(place.lstat().st_mode) for place in places}


def test_a_database_and_the_files_beside_it(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "deep" / "home"
    store = Store.open(f"sqlite:///{home / 'versemill.db'}")
    with store.reading() as session:
        session.execute(text("SELECT * FROM jobs"))
        files = modes(*home.iterdir())
    store.close()
    assert files == dict.fromkeys(("versemill.db", "versemill.db-wal", "versemill.db-shm"), 0o600)
    assert set(modes(home, home.parent).values()) == {0o700}


@pytest.mark.slow
def test_all_that_a_run_leaves(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-m", "versemill", "run", "--track", "jsonl", *TINY_OPTIONS],
        env=environment(home),
        umask=0,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left = [home, *home.rglob("*")]
    assert {place.name for place in left} >= {"versemill.db", "worker-1.log", "log.jsonl", "spool"}
    assert set(modes(*filter(Path.is_dir, left)).values()) == {0o700}
    assert set(modes(*filter(Path.is_file, left)).values()) == {0o600}


def test_exports_are_as_the_umask_says(
    command: Any, trained: str, tmp_path: Path, umask: int
) -> None:
    weights, picture = tmp_path / "weights.safetensors", tmp_path / "curve.png"
    assert command("checkpoints", "export", trained, weights).code == 0
    assert command("curve", trained, "--png", picture).code == 0
    assert set(modes(weights, picture).values()) == {0o666 & ~umask}


@pytest.mark.parametrize("name", [".{}.partial", "{}.partial"])
def test_exports_follow_no_link_that_others_have_laid(
    command: Any, trained: str, tmp_path: Path, name: str
) -> None:
    linked = tmp_path / "linked"
    linked.write_text("mine")
    weights, picture = tmp_path / "weights.safetensors", tmp_path / "curve.png"
    for target in (weights, picture):
        (tmp_path / name.format(target.name)).symlink_to(linked)
    assert command("checkpoints", "export", trained, weights).code == 0
    assert command("curve", trained, "--png", picture).code == 0
    assert linked.read_text() == "mine"
    assert not weights.is_symlink()
    assert not picture.is_symlink()


def privacy(command: Any) -> dict[str, Any]:
    (found,) = [each for each in command("doctor", "--json").json if each["check"] == "privacy"]
    return dict(found)


@pytest.mark.parametrize("place", [".", "versemill.db", "logs", "tracking/1-a/log.jsonl"])
def test_doctor_names_a_command_that_closes_what_others_can_use(
    command: Any, home: Path, place: str
) -> None:
    (home / "tracking/1-a").mkdir(parents=True)
    (home / "tracking/1-a/log.jsonl").touch()
    (home / "logs").mkdir()
    (home / "my own").write_text("not Versemill's")
    for each in (home, *home.rglob("*")):
        each.chmod(0o700 if each.is_dir() else 0o600)
    (home / "my own").chmod(0o644)
    assert privacy(command)["mend"] == ""
    (home / place).chmod(0o755)
    found = privacy(command)
    assert str(home) in found["detail"]
    advice = found["mend"].partition("run: ")[2]
    subprocess.run(["/bin/sh", "-c", advice], check=True)
    assert privacy(command)["mend"] == ""
    assert stat.S_IMODE((home / "my own").stat().st_mode) == 0o644


def test_the_command_is_for_a_shell_whatever_the_folder_is_called(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = tmp_path / "it's mine; $HOME"
    tracking.mkdir(mode=0o755)
    monkeypatch.setenv("VERSEMILL_TRACKING", str(tracking))
    advice = privacy(command)["mend"].partition("run: ")[2]
    assert str(tracking) in shlex.split(advice)


@pytest.mark.parametrize(("value", "noted"), [("", False), ("/a:/b", False), (":/a", True)])
def test_doctor_notes_a_pythonpath_that_means_any_folder(
    command: Any, monkeypatch: pytest.MonkeyPatch, value: str, noted: bool
) -> None:
    monkeypatch.setenv("PYTHONPATH", value)
    assert ("imports" in {f["check"] for f in command("doctor", "--json").json}) is noted
