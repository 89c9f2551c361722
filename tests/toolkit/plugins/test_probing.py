"""Plugins that hang, end the process or change what belongs to all are found from outside."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from versemill.errors import UnknownNameError
from versemill.plugins.probing import probe

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PLUGIN = """
{before}
from versemill.plugins import hookimpl

@hookimpl
def versemill_register_samplers(register):
    {within}
    register("mine", "{target}", summary="")

class Mine:
    def starts(self, generator): ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(tmp_path))
    return tmp_path


def faults(
    folder: Path, before: str = "", within: str = "", target: str = ":Mine", seconds: float = 20
) -> tuple[str, ...]:
    source = PLUGIN.format(before=before, within=within, target=target)
    (folder / "mine.py").write_text(source)
    return probe("mine.py", seconds=seconds)


def test_one_that_is_well(folder: Path) -> None:
    assert faults(folder) == ()


def test_the_built_ins_are_well() -> None:
    assert probe("versemill") == ()


def test_one_that_is_not_there() -> None:
    with pytest.raises(UnknownNameError, match="no plugin named 'nobody'; known: versemill"):
        probe("nobody")


@pytest.mark.parametrize("place", ["before", "within"])
def test_one_that_hangs_is_stopped_and_told_where(folder: Path, place: str) -> None:
    began = time.monotonic()
    (fault,) = faults(folder, **{place: "import time; time.sleep(1000)"}, seconds=1)
    assert fault.startswith("it does not come to an end: stopped after 1 s at File ")
    assert "mine.py" in fault
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os; os._exit(0)", "exit code 0"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    ],
)
def test_one_that_ends_the_process(folder: Path, code: str, how: str) -> None:
    assert faults(folder, code) == (f"it ends the process that tries it ({how})",)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import torch; torch.set_default_dtype(torch.float64)", "torch.float32"),
        ("import torch; torch.manual_seed(1)", "torch's random state"),
        ("import torch; torch.rand(1)", "torch's random state"),
        ("import torch; torch.set_num_threads(7)", "torch's thread counts"),
        ("import torch; torch.set_grad_enabled(False)", "torch's determinism, gradients"),
        ("import random; random.seed(1)", "random's state"),
        ("import numpy; numpy.random.seed(1)", "numpy's random state"),
        ("import logging; logging.basicConfig()", "logging's root handlers"),
        ("import logging; logging.getLogger().setLevel(10)", "logging's root level"),
        ("import sys; sys.path.insert(0, '/nowhere')", "sys.path"),
        ("import os; os.environ['LOUD'] = '1'", "environment variables"),
        ("import os; os.chdir('/')", "the working directory"),
        ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", "signal handlers"),
        ("import locale; locale.setlocale(locale.LC_ALL, 'C')", "the locale"),
    ],
)
def test_one_that_changes_what_belongs_to_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, what: str
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    (fault,) = faults(folder, code)
    assert fault.startswith("it changes ")
    assert what in fault


def test_a_module_of_an_implementation_is_looked_at_too(folder: Path) -> None:
    (folder / "_cell.py").write_text("raise ValueError('no')")
    target = "versemill_folder_plugins._cell:Cell"
    (fault,) = faults(folder, target=target)
    assert "sampler 'mine' of mine.py" in fault
    assert fault.endswith("cannot be loaded: ValueError: no")


def test_one_that_is_disabled(folder: Path) -> None:
    (fault,) = faults(folder, "print('la')")
    assert fault.startswith("it is disabled: it prints when it is imported: 'la'")
