from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

import versemill
from small_runs import PARTS, REGISTRY, config
from versemill.checkpoints import file as checkpoint_file
from versemill.errors import CheckpointError
from versemill.jobs.service.trained_models import choose_checkpoint
from versemill.jobs.states import Priority, Request, State
from versemill.jobs.views import CheckpointView, JobView
from versemill.nn.machine import KernelPlan
from versemill.training.run import Training

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, tzinfo=UTC)
JOB = JobView(
    id=3, name="three", owner="ann", state=State.RUNNING, state_shown="running",
    priority=Priority.NORMAL,
    request=Request.NONE, recipe="default", corpus="x", cell="gru", attempt=1, step=9, epoch=1,
    epochs=2, train_perplexity=None, valid_perplexity=None, characters_per_second=None,
    seconds_left=None, error=None, created_at=NOW, finished_at=None, worker="attic",
)  # fmt: skip


def kept(number: int, step: int, *kinds: str) -> CheckpointView:
    return CheckpointView(id=number, step=step, epoch=1, kinds=kinds, size=1, created_at=NOW)


def test_names_of_checkpoints() -> None:
    best, last = kept(1, 10, "best"), kept(2, 20, "last", "final")
    assert choose_checkpoint(JOB, (last, best), "best") is best
    assert choose_checkpoint(JOB, (last, best), "last") is last
    assert choose_checkpoint(JOB, (last, best), "10") is best
    assert choose_checkpoint(JOB, (last, best), 20) is last


def test_without_validation_the_latest_is_the_best() -> None:
    early, late = kept(1, 10, "last"), kept(2, 20, "final")
    assert choose_checkpoint(JOB, (late, early), "best") is late


@pytest.mark.parametrize("at", ["15", 15, "worst", ""])
def test_no_such_checkpoint_lists_those_there_are(at: Any) -> None:
    with pytest.raises(CheckpointError, match=r"best, last or one of: 10 \(best\)"):
        choose_checkpoint(JOB, (kept(1, 10, "best"),), at)


def test_no_checkpoint_at_all() -> None:
    with pytest.raises(CheckpointError, match=r"job 3 \(three\) is running and has no checkpoint"):
        choose_checkpoint(JOB, (), "best")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    run = Training(PARTS, config(), REGISTRY, plan=KernelPlan.current(threads=1))
    for _ in run:
        pass
    path = tmp_path / "song.safetensors"
    checkpoint_file.write(run.state().to_checkpoint(), path)
    return path


def test_a_file_is_loaded_without_a_database(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSEMILL_DATABASE_URL", "nonsense")
    by_path, by_text = versemill.load(file), versemill.load(str(file))
    text = by_path.generate("la", length=20, seed=7)
    assert text.startswith("la")
    assert by_text.generate("la", length=20, seed=7) == text


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        versemill.load(tmp_path / "x.safetensors")


def test_the_package_has_what_it_says_and_nothing_else() -> None:
    assert versemill.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="songs"):
        versemill.songs  # noqa: B018


def test_importing_the_package_imports_nothing_of_it() -> None:
    script = "import sys, versemill; print(*[m for m in sys.modules if m.startswith('versemill.')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b""
