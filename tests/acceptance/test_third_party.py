"""Strangers' plugins, built and installed for real, used, and uninstalled again."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from documents import ROOT
from fresh import Installed, build_wheel, install
from processes import started

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)
EXAMPLES = ROOT / "tests" / "third_party"
TINY = (
    *("--set", "training.epochs=2", "--set", "training.batch_size=4"),
    *("--set", "model.hidden_size=16", "--set", "training.report_every=1"),
)


@pytest.fixture(scope="module")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A fresh environment with pip and pytest, which installs what is here and asks no index."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    made = install(tmp_path_factory.mktemp("third-party"), wheel, with_pip=True)
    script = made.scripts / "pytest"
    head = f"#!{made.scripts / 'python'}"
    script.write_text(f"{head}\nimport pytest\nraise SystemExit(pytest.console_main())\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",  # what the wheel depends on is lent
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way of saying that there is none
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_NUM_THREADS": "1",
    }
    return Installed(made.folder, made.environment | offline)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The two examples, built from copies, so that nothing is written into the checkout."""
    folder = tmp_path_factory.mktemp("examples")
    built = []
    for name in ("versemill-tides", "versemill-mgu"):
        shutil.copytree(EXAMPLES / name, folder / name)
        built.append(build_wheel(folder / f"{name}-dist", folder / name))
    return built


def offered(third_party: Installed) -> set[tuple[str, str, str]]:
    rows = json.loads(third_party.run("versemill", "plugins", "list", "--json"))
    assert [row["disabled"] for row in rows if row["disabled"]] == []
    return {
        (row["kind"], row["name"], row["distribution"])
        for row in rows
        if row["distribution"] != "versemill"
    }


def one_line(third_party: Installed, *command: str) -> str:
    """What a command that fails says."""
    done = third_party.tried("versemill", *command)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def told_why(third_party: Installed, job: str) -> str:
    """What `show` says of a job that a worker leaves alone, once that worker is there."""
    with started(
        [third_party.scripts / "versemill", "worker", "--slots", "1"],
        cwd=third_party.elsewhere,
        env=third_party.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as worker:
        deadline = time.monotonic() + 120
        while "no live worker has" not in (shown := third_party.run("versemill", "show", job)):
            assert time.monotonic() < deadline, shown
            time.sleep(0.2)
        worker.terminate()
        worker.wait(60)
    return shown


def test_two_distributions_from_installing_to_uninstalling(
    third_party: Installed, wheels: list[Path]
) -> None:
    third_party.run("pip", "install", *map(str, wheels))
    assert offered(third_party) == {
        ("corpus", "tides-zh", "versemill-tides"),
        ("corpus", "tides-en", "versemill-tides"),
        ("cell", "mgu", "versemill-mgu"),
        ("decoder", "min-p", "versemill-mgu"),
    }
    for name in ("versemill-tides", "versemill-mgu"):
        third_party.run("pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / name / "tests"))
        third_party.run("versemill", "plugins", "check", name)

    train = ("run", "--corpus", "tides-zh", "--cell", "mgu", "--name", "tides", *TINY)
    third_party.run("versemill", *train, timeout=120)
    (job,) = json.loads(third_party.run("versemill", "jobs", "--json"))
    assert (job["name"], job["state"]) == ("tides", "succeeded")
    decoding = ("--decoder", "temperature=1.2", "--decoder", "min-p=0.1")
    written = ("--prefix", "潮水", "--length", "12", "--seed", "7", "--json")
    (lyric,) = json.loads(third_party.run("versemill", "generate", "tides", *written, *decoding))
    assert lyric["text"].startswith("潮水")
    assert len(lyric["text"]) == 14
    waiting = ("--corpus", "tides-en", "--cell", "mgu", "--name", "waiting", *TINY)
    third_party.run("versemill", "submit", *waiting)

    third_party.run("pip", "uninstall", "--yes", "versemill-tides", "versemill-mgu")
    assert offered(third_party) == set()
    assert json.loads(third_party.run("versemill", "lyrics", "tides", "--json"))
    assert (
        json.loads(third_party.run("versemill", "show", "waiting", "--json"))["state"] == "queued"
    )
    for command in (
        ("generate", "tides", "--prefix", "潮水"),
        ("run", "--corpus", "starter-zh", "--cell", "mgu"),
        ("run", "waiting"),
        ("run", "tides", "--epochs", "+1"),
        ("plugins", "check", "mgu"),
    ):
        assert "'mgu'" in one_line(third_party, *command)
    assert "needs cell 'mgu' from versemill-mgu ≥ 1.2.0; no live worker has it" in told_why(
        third_party, "waiting"
    )


def test_from_a_new_project_to_lyrics_as_the_tutorial_says(third_party: Installed) -> None:
    commands = (
        "versemill plugins new cell mycell && cd mycell && pip install -e . && pytest"
        f" && versemill run --cell mycell --corpus starter-zh {' '.join(TINY)}"
    )
    third_party.run("sh", "-c", commands, timeout=200)


@pytest.mark.parametrize("kind", ["corpus", "sampler"])
def test_a_new_projects_tests_pass_when_it_is_installed(third_party: Installed, kind: str) -> None:
    commands = (
        f"versemill plugins new {kind} my-{kind} && cd my-{kind} && pip install -e . && pytest"
        f" && versemill plugins check my-{kind}"
    )
    third_party.run("sh", "-c", commands, timeout=200)
    assert (kind, f"my-{kind}", f"versemill-my-{kind}") in offered(third_party)
