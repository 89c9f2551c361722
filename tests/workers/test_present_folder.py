"""Nothing is imported from the folder in which a command or a worker is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from worker_cluster import ENDLESS, Cluster

pytestmark = pytest.mark.timeout(400)

TRAP = "import os\nopen({mark!r}, 'a').write(f'{{__name__}} {{os.getpid()}}\\n')\n"
NAMES = (
    *("json", "random", "socket", "logging", "tempfile", "faulthandler", "dataclasses", "typing"),
    *("pkgutil", "multiprocessing", "torch", "numpy", "pydantic", "sqlalchemy", "celery", "kombu"),
    *("alembic", "click", "safetensors", "sitecustomize", "usercustomize", "versemill_plugins"),
)
PLUGIN = """
from versemill.plugins import hookimpl
from versemill.plugins import Tracker

class Mine(Tracker):
    def ended(self, ending):
        (self.folder / "ended").write_text(ending.outcome)

@hookimpl
def versemill_register_trackers(register):
    register("mine", ":Mine", summary="")
"""
TINY = ("corpus_options.first=1200", "model.hidden_size=8", "training.batch_size=4")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder in which somebody has set traps; `caught` below it tells who ran into one."""
    folder = tmp_path / "shared"
    folder.mkdir()
    for name in NAMES:
        trap = TRAP.format(mark=str(folder / "caught"))
        (folder / f"{name}.py").write_text(trap)
    return folder


@pytest.fixture
def staged(sqlite_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """An installation with a tracker of its own."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(PLUGIN)
    sqlite_cluster.environment["VERSEMILL_PLUGINS"] = str(plugins)
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(plugins))
    return sqlite_cluster


def test_the_planted_modules_are_imported_without_dash_p(shared: Path) -> None:
    subprocess.run([sys.executable, "-m", "json"], cwd=shared, check=True)
    assert "__main__" in (shared / "caught").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--track", "mine", "--epochs", "1", *(f"--set={value}" for value in TINY)),
        ("plugins", "check", "mine"),
        ("doctor",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_takes_nothing_from_it(
    staged: Cluster, shared: Path, arguments: tuple[str, ...]
) -> None:
    command = Path(sys.executable).with_name("versemill")
    done = subprocess.run(
        [command, *arguments],
        cwd=shared,
        env=staged.environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (shared / "caught").exists(), (shared / "caught").read_text()
    if arguments[0] == "run":
        assert [path.read_text() for path in staged.home.glob("tracking/*/ended")] == ["finished"]


@pytest.mark.parametrize("module", ["versemill", "versemill_workers"])
def test_a_module_started_by_its_name_leaves_the_folder_alone(
    staged: Cluster, shared: Path, module: str
) -> None:
    """`python -m` itself looks there first; what it starts and imports then does not."""
    (shared / "typing.py").unlink()  # which Python imports before any line of ours
    if module == "versemill":
        done = subprocess.run(
            [sys.executable, "-m", "versemill", "plugins", "check", "mine"],
            cwd=shared,
            env=staged.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        staged.start_worker(cwd=shared)
        staged.until_training(staged.submit(trackers=["mine"], **ENDLESS))
        staged.until(lambda: list(staged.home.glob("tracking/*")))
    assert not (shared / "caught").exists(), (shared / "caught").read_text()
