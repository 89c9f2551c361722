"""The command line as a test uses it: in this process, in a data directory of its own."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from command_line import TINY_OPTIONS, CommandLineQueue, Completed, run_process
from versemill.cli.error_reporting import perform
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("template") / "versemill.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of this test's own, configured by the environment."""
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(empty_database, folder / "versemill.db")
    for name in list(os.environ):
        if name.startswith("VERSEMILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("VERSEMILL_HOME", str(folder))
    monkeypatch.setenv("VERSEMILL_USER", "ann")
    return folder


@pytest.fixture
def command(home: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Completed]:
    """Runs a command in this process."""

    def run(*arguments: object) -> Completed:
        capfdbinary.readouterr()
        code = perform([str(argument) for argument in arguments])
        captured = capfdbinary.readouterr()
        return Completed(code, captured.out.decode(), captured.err.decode())

    return run


@pytest.fixture
def queue(home: Path) -> Iterator[CommandLineQueue]:
    store = Store.open(f"sqlite:///{home / 'versemill.db'}")
    yield CommandLineQueue(store)
    store.close()


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which `versemill run` has trained the job 小调."""
    folder = tmp_path_factory.mktemp("trained")
    done = run_process(folder, "run", "--name", "小调", *TINY_OPTIONS)
    assert done.code == 0, done.out + done.err
    (folder / "run.out").write_text(done.out)
    return folder


@pytest.fixture
def trained(home: Path, trained_home: Path) -> str:
    """The name of a job with real weights, in the data directory of this test."""
    for file in trained_home.glob("versemill.db*"):
        shutil.copy(file, home / file.name)
    return "小调"
