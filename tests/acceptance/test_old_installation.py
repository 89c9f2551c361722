"""An installation of before goes on: its jobs, curves, lyrics, checkpoints and exported files.

`tests/support/old_installations/make.py` says how each was made, and with which commit's code.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import versemill
from old_installations import make
from old_installations.make import WRITE, tensor_digest, this_machine
from versemill.cli.program import program

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT = Path(make.__file__).parent / "0003"
RECORDED = json.loads((KEPT / "recorded.json").read_text(encoding="utf-8"))
JOBS = RECORDED["jobs"]

# Another machine rounds otherwise, and a thousand steps make more of it.
TOLERANCE = 0.05

TOLD = (
    "id", "name", "owner", "state", "recipe", "corpus", "cell", "attempt", "step", "epoch",
    "epochs", "train_perplexity", "valid_perplexity", "error", "created_at", "finished_at",
    "config", "content_hash", "inexact", "result", "events",
)  # fmt: skip
REPORT = ("epoch", "step", "train_perplexity", "valid_perplexity")
LYRIC = ("epoch", "step", "prefix", "seed", "decoder", "text")


@dataclass(frozen=True)
class Machine:
    """How the machine of a test differs from the one that recorded.

    Attributes:
        environment: variables that make it so.
        planned: whether the kernel plan is the same, so that nothing has to be allowed.
        same: whether numbers must be the same to the last bit.
    """

    environment: dict[str, str]
    planned: bool
    same: bool

    @property
    def allowing(self) -> tuple[str, ...]:
        return () if self.planned else ("--inexact",)

    @property
    def comparison(self) -> str:
        if self.same:
            return "bit for bit"
        return f"figures to {TOLERANCE:.0%}: recorded on another machine, {RECORDED['machine']}"


def this_one() -> Machine:
    here, there = this_machine(), RECORDED["machine"]
    plan = [key for key in there if key != "processor"]
    planned = all(here[key] == there[key] for key in plan)
    return Machine({}, planned=planned, same=here == there)


# One without vector instructions, whatever it is really.
ANOTHER = Machine({"ATEN_CPU_CAPABILITY": "default"}, planned=False, same=False)


class Home:
    """A copy of the old installation, and commands in it."""

    def __init__(self, environment: dict[str, str], database: Path) -> None:
        self._environment = environment
        folder = Path(environment["VERSEMILL_HOME"])
        folder.mkdir()
        shutil.copy(database, folder / "versemill.db")

    def run(self, *arguments: str, **environment: str) -> str:
        """What a command prints, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "versemill", *arguments],
            env=self._environment | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
        return done.stdout

    def printed(self, *arguments: str) -> str:
        """What a command that only looks prints, in this process."""
        others = {name: None for name in os.environ if name.startswith("VERSEMILL_")}
        done = CliRunner().invoke(
            program, arguments, env={**others, **self._environment}, catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.printed(*arguments, "--json"))

    def exported(self, job: str, at: str) -> Path:
        file = Path(self._environment["HOME"]) / f"{job}-{at}.safetensors"
        self.printed("checkpoints", "export", job, str(file), "--at", at)
        return file


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old database, as `versemill db upgrade` leaves it."""
    database = tmp_path_factory.mktemp("upgraded") / "versemill.db"
    database.write_bytes(gzip.decompress((KEPT / "versemill.db.gz").read_bytes()))
    command = [sys.executable, "-m", "versemill", "db", "upgrade"]
    kept = {name: value for name, value in os.environ.items() if "VERSEMILL" not in name}
    own = {"VERSEMILL_HOME": str(database.parent)}
    subprocess.run(command, env=kept | own, capture_output=True, timeout=60, check=True)
    return database


@pytest.fixture
def home(newcomer: dict[str, str], upgraded: Path) -> Home:
    return Home(newcomer | {"VERSEMILL_USER": "ann"}, upgraded)


@pytest.fixture
def later(tmp_path: Path) -> dict[str, str]:
    """What makes a process take this code for version 9.9.9 of the product."""
    about = tmp_path / "later" / "versemill-9.9.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: versemill\nVersion: 9.9.9\n")
    (about / "entry_points.txt").write_text("[versemill]\nbuiltin = versemill_plugins\n")
    return {"PYTHONPATH": str(about.parent)}


@pytest.fixture
def machine(record_property: Callable[[str, object], None]) -> Machine:
    here = this_one()
    record_property("compared", here.comparison)
    return here


def rows(found: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in names} for row in found]


def still(before: Any, now: Any) -> bool:
    """Whether everything that was told before is told now; tables may have more entries."""
    if isinstance(before, dict):
        return isinstance(now, dict) and all(
            key in now and still(value, now[key]) for key, value in before.items()
        )
    if isinstance(before, list):
        return len(before) == len(now) and all(map(still, before, now))
    return bool(before == now)


def test_its_schema_is_upgraded(home: Home) -> None:
    assert home.json("db", "status")["verdict"] == "current"


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_what_it_was(home: Home, job: str) -> None:
    before = JOBS[job]
    now = home.json("show", job)
    for name in TOLD:
        assert still(before["show"][name], now[name]), name
    assert before["show"]["plan"] == now["machine"]
    assert still(before["curve"], home.json("curve", job))
    assert still(before["checkpoints"], home.json("checkpoints", "list", job))
    if before["lyrics"]:
        assert still(before["lyrics"], home.json("lyrics", job))
    for at, digest in before["sha256"].items():
        file = home.exported(job, at)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest


def test_the_named_corpus_is_what_it_was(home: Home) -> None:
    listed = [c for c in home.json("corpora", "list") if c["name"] == "poems"]
    assert still(RECORDED["corpora"], listed)
    printed = home.json("corpora", "show", "poems")
    for name in ("characters", "songs", "lines", "content_hash", "sample"):
        assert printed[name] == RECORDED["poems"][name]


@pytest.mark.parametrize("cell", RECORDED["files"])
def test_an_exported_file_writes_what_it_wrote(cell: str, machine: Machine) -> None:
    model = versemill.load(KEPT / f"{cell}.safetensors")
    for way, decoders in (("written", {}), ("greedy", {"decoders": ["greedy"]})):
        (before,) = RECORDED["files"][cell][way]
        text = model.generate(before["prefix"], length=60, seed=before["seed"], **decoders)
        assert text == before["text"] if machine.same else text.startswith(before["prefix"])


@pytest.mark.parametrize("job", ["finished", "paused", "cancelled"])
def test_a_model_is_measured_as_it_was(home: Home, job: str, machine: Machine) -> None:
    before, now = JOBS[job]["evaluated"], home.json("evaluate", job)
    assert now["characters"] == before["characters"]
    precision = 0.0 if machine.same else 1e-4
    assert now["nats_per_character"] == pytest.approx(before["nats_per_character"], rel=precision)


def test_a_finished_job_writes_what_it_wrote(home: Home, machine: Machine) -> None:
    (now,) = home.json("generate", "finished", *WRITE["lstm"])
    (before,) = RECORDED["generated"]
    if machine.same:
        assert still(before, now)
    else:
        assert now["text"].startswith(before["prefix"])


def test_a_finished_job_goes_on_for_more_epochs(home: Home, machine: Machine) -> None:
    home.run("resume", "finished", "--epochs", "+1", *machine.allowing)
    home.run("run", "finished")
    assert home.json("show", "finished")["state"] == "succeeded"
    before, now = JOBS["finished"]["curve"], home.json("curve", "finished")
    assert rows(now[:-1], REPORT) == rows(before, REPORT)
    assert now[-1]["epoch"] == before[-1]["epoch"] + 1


def test_a_cancelled_job_goes_on_from_its_checkpoint(home: Home, machine: Machine) -> None:
    home.run("retry", "cancelled", *machine.allowing)
    home.run("run", "cancelled")
    now = home.json("show", "cancelled")
    assert now["state"] == "succeeded"
    step = JOBS["cancelled"]["checkpoints"][-1]["step"]
    assert f"resumed from step {step:,}" in " ".join(e["message"] for e in now["events"])
    before, now = JOBS["cancelled"]["curve"], home.json("curve", "cancelled")
    assert rows(now[: len(before)], REPORT) == rows(before, REPORT)
    assert [report["epoch"] for report in now] == list(range(1, 61))


def test_a_job_of_a_later_version_goes_on_with_this_one(
    home: Home, later: dict[str, str], machine: Machine
) -> None:
    assert "9.9.9" in home.run("--version", **later)
    home.run("run", "waiting", **later)  # submitted by 0.1.0, and never begun
    assert home.json("show", "waiting")["state"] == "succeeded"
    home.run("resume", "waiting", "--epochs", "+1")
    home.run("run", "waiting")
    assert [report["epoch"] for report in home.json("curve", "waiting")] == [1, 2, 3]


@pytest.mark.parametrize("where", [this_one(), ANOTHER], ids=["here", "elsewhere"])
def test_a_paused_job_ends_as_if_it_had_not_been_paused(
    home: Home,
    where: Machine,
    later: dict[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    """With a later version of the product, which strands no job."""
    record_property("compared", where.comparison)
    home.run("run", "paused", *where.allowing, **where.environment, **later)
    expected = RECORDED["undisturbed"]
    curve, lyrics = home.json("curve", "paused"), home.json("lyrics", "paused")
    result = home.json("show", "paused")["result"]
    if where.same:
        assert rows(curve, REPORT) == rows(expected["curve"], REPORT)
        assert rows(lyrics, LYRIC) == rows(expected["lyrics"], LYRIC)
        assert still(expected["result"], result)
        assert {at: digests(home.exported("paused", at)) for at in ("best", "last")} == expected[
            "tensors"
        ]
        return
    assert [r["step"] for r in curve] == [r["step"] for r in expected["curve"]]
    for name in ("train_perplexity", "valid_perplexity"):
        figures, wanted = ([report[name] for report in c] for c in (curve, expected["curve"]))
        assert figures == pytest.approx(wanted, rel=TOLERANCE), where.comparison
    assert [row["prefix"] for row in lyrics] == [row["prefix"] for row in expected["lyrics"]]
    figure = result["held_out"]["validation"]["perplexity"]
    wanted = expected["result"]["held_out"]["validation"]["perplexity"]
    assert figure == pytest.approx(wanted, rel=TOLERANCE), where.comparison


def digests(file: Path) -> dict[str, str]:
    from safetensors.numpy import load_file

    return {name: tensor_digest(tensor) for name, tensor in load_file(file).items()}
