"""Trackers beside a run: none delays it, fails it or changes it, and none is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import psutil
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from people import ANN
from versemill.jobs import service
from versemill.plugins import AttemptStart
from versemill.plugins.registry import Registry
from versemill.testing.resume_proof.comparison import first_difference, read_record
from versemill_workers.trackers import feeding
from versemill_workers.trackers.feeding import Tracking
from worker_cluster import ENDLESS, Cluster

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)

WRONG = ["raises=reported", "exits", "hangs=progressed", "prints=reported", "absent"]
RUN = AttemptStart(job=1, name="歌", attempt=1, step=0, reported=0, config={})
PLUGIN = """
import os, signal, sys, time
from dataclasses import dataclass
from versemill.plugins import hookimpl
from versemill.plugins import Tracker

@dataclass(frozen=True, kw_only=True)
class Where:
    at: str = "started"

class Base(Tracker):
    def __init__(self, folder, *, at):
        super().__init__(folder)
        self.at = at
        self.come_to("built")

    def come_to(self, place):
        if place == self.at:
            self.misbehave()

    def started(self, run):
        self.come_to("started")

    def progressed(self, progress):
        self.come_to("progressed")

    def reported(self, report):
        self.come_to("reported")

    def ended(self, ending):
        (self.folder / f"ended-{type(self).__name__}-{self.at}").write_text(ending.outcome)
        self.come_to("ended")

class Raises(Base):
    def misbehave(self):
        raise ValueError("no\\nroom")

class Exits(Base):
    def misbehave(self):
        os._exit(3)

class Hangs(Base):
    def misbehave(self):
        time.sleep(3600)

class HangsBelowPython(Base):
    def misbehave(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(3600)

class Prints(Base):
    def misbehave(self):
        print("printed by a tracker", flush=True)

@hookimpl
def versemill_register_trackers(register):
    for cls in (Raises, Exits, Hangs, HangsBelowPython, Prints):
        register(cls.__name__.lower(), f":{cls.__name__}", summary="wrong", options=Where)
    register("absent", "no_such_module:Tracker", summary="not there")
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of trackers that are wrong; returns how their version is named."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "wrong.py").write_text(PLUGIN)
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(folder))
    found = Registry.discover().find("tracker", "raises")
    return f"of wrong.py {found.version}"


def fed(lines: list[object], *, seconds: float = 10.0) -> tuple[str, str, int]:
    """What a tracker's process says to these lines, prints, and how it ends."""
    shortened = (
        "from versemill_workers.trackers import process as entry; "
        f"entry.CALL_SECONDS = {seconds}; entry._GRACE_SECONDS = {seconds}; entry.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", shortened],
        input="".join(f"{json.dumps(line)}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.stdout, done.stderr, done.returncode


def began(spec: str, folder: Path) -> list[object]:
    return [[spec, str(folder), asdict(RUN)]]


class TestItsProcess:
    @pytest.mark.parametrize("place", ["built", "started"])
    def test_one_that_raises_is_named_in_one_line(
        self, plugins: str, tmp_path: Path, place: str
    ) -> None:
        message, printed, code = fed(began(f"raises={place}", tmp_path))
        assert (message, code) == (f"tracker 'raises' {plugins} raised ValueError: no room", 1)
        assert "Traceback" in printed

    def test_one_that_hangs_is_interrupted(self, plugins: str, tmp_path: Path) -> None:
        message, _, code = fed(began("hangs", tmp_path), seconds=0.5)
        expected = f"tracker 'hangs' {plugins}: it does not come to an end: stopped after 0.5 s"
        assert (message[: len(expected)], code) == (expected, 1)

    def test_one_that_python_cannot_interrupt_is_ended(self, plugins: str, tmp_path: Path) -> None:
        message, printed, code = fed(began("hangsbelowpython", tmp_path), seconds=0.5)
        assert (message, code) == ("", 1)
        assert "misbehave" in printed

    def test_what_it_prints_is_not_an_error(self, plugins: str, tmp_path: Path) -> None:
        message, printed, code = fed(began("prints", tmp_path))
        assert (message, printed, code) == ("", "printed by a tracker\n", 0)

    def test_its_trainer_was_killed_while_writing_a_line(
        self, plugins: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "job"
        lines = began("prints=never", folder)
        cut = f'{json.dumps(lines[0])}\n["progressed", {{"st'
        entry = [sys.executable, "-m", "versemill_workers.trackers.process"]
        done = subprocess.run(entry, input=cut, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        assert (folder / "ended-Prints-never").read_text() == "lost"

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("nowhere", "tracker nowhere: no tracker named 'nowhere'"),
            ("absent", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
            ("raises=5", "tracker raises=5: tracker raises.at = 5"),
        ],
    )
    def test_one_that_is_not_there(
        self, plugins: str, tmp_path: Path, spec: str, words: str
    ) -> None:
        message, printed, code = fed(began(spec, tmp_path))
        assert words in message
        assert (printed, code) == ("", 1)

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        message, _, code = fed(began("jsonl", tmp_path / "file" / "1-歌"))
        assert "has no folder: " in message
        assert (message[-15:], code) == ("Not a directory", 1)


class TestFeeding:
    def test_the_end_waits_for_none_that_hangs(
        self, plugins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feeding, "MOST_WAITING", 10)
        remarks: list[str] = []
        before = time.monotonic()
        with Tracking(["hangs"], RUN, str(tmp_path / "job"), remarks.append) as hung:
            for _ in range(20):
                hung._send("reported", {"lyrics": [], "text": "x" * 50_000})
        # It is let alone for 10 s a call.
        assert time.monotonic() - before < 8.0
        (remark,) = remarks
        assert remark.startswith("tracker hangs is too slow: it missed ")
        children = psutil.Process().children()
        (process,) = [c for c in children if "versemill_workers.trackers.process" in c.cmdline()]
        process.kill()
        process.wait()

    def test_what_comes_after_the_fault_of_one_is_not_missed(
        self, plugins: str, tmp_path: Path
    ) -> None:
        remarks: list[str] = []
        with Tracking(["exits", "raises"], RUN, str(tmp_path), remarks.append) as faulty:
            deadline = time.monotonic() + 60
            while len(remarks) < 2 and time.monotonic() < deadline:
                faulty._send("reported", {})
                time.sleep(0.05)
        assert sorted(remarks) == [
            f"tracker 'raises' {plugins} raised ValueError: no room; training goes on without it",
            "tracker exits has ended: exit code 3; training goes on without it",
        ]


def test_wrong_ones_change_nothing(sqlite_cluster: Cluster, plugins: str) -> None:
    sqlite_cluster.environment["VERSEMILL_PLUGINS"] = os.environ["VERSEMILL_PLUGINS"]
    followed, plain = sqlite_cluster.submit(trackers=WRONG), sqlite_cluster.submit()
    sqlite_cluster.start_worker("--name", "attic")
    sqlite_cluster.until_state(followed, "succeeded")
    sqlite_cluster.until_state(plain, "succeeded")
    records = [read_record(sqlite_cluster.store, job.id) for job in (followed, plain)]
    for checkpoint in (kept for record in records for kept in record.checkpoints.values()):
        del checkpoint.meta["config"]["trackers"]
    assert first_difference(*records) is None
    assert f"followed by {', '.join(WRONG)} in " in "\n".join(sqlite_cluster.messages(followed))
    assert len(service.details(sqlite_cluster.store, followed.id).attempts) == 1

    endless = sqlite_cluster.submit(**ENDLESS, trackers=WRONG)  # long enough to hear of all
    message = [
        "tracker exits has ended: exit code 3; training goes on without it",
        f"tracker 'raises' {plugins} raised ValueError: no room; training goes on without it",
        f"tracker 'absent' {plugins} cannot be loaded: ModuleNotFoundError: "
        "No module named 'no_such_module'; training goes on without it",
    ]
    sqlite_cluster.until(lambda: set(message) <= set(sqlite_cluster.messages(endless)))
    assert sqlite_cluster.job(endless).state == "running"


def test_after_a_kill_they_go_on_without_gap_or_overlap(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(
        **ENDLESS, trackers=["jsonl", "tensorboard"], training__report_every=5
    )
    sqlite_cluster.start_worker("--name", "attic")
    trainer = sqlite_cluster.until_training(job)
    sqlite_cluster.until_checkpoint(job)
    followers = sqlite_cluster.until(lambda: _followers(sqlite_cluster, 2))
    step = sqlite_cluster.job(job).step
    trainer.kill()
    sqlite_cluster.until(lambda: all(map(_ended, followers)))
    sqlite_cluster.until_checkpoint(job, after=step + 100)
    service.request_pause(sqlite_cluster.store, job.id, ANN)
    sqlite_cluster.until_state(job, "paused")
    sqlite_cluster.until(lambda: not _followers(sqlite_cluster, 1))

    (folder,) = (sqlite_cluster.home / "tracking").iterdir()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines()]
    ends = [(line["attempt"], line["outcome"]) for line in lines if line["event"] == "ended"]
    assert ends == [(1, "lost"), (2, "stopped")]
    stored = [point.step for point in service.curve(sqlite_cluster.store, job.id)]
    reported = [line["step"] for line in lines if line["event"] == "report"]
    assert reported == stored
    read = EventAccumulator(str(folder)).Reload()
    assert [e.step for e in read.Scalars("perplexity/training")] == stored


def _ended(process: psutil.Process) -> bool:
    """Whether it has ended, be it that its parent, these tests, has not asked how yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _followers(cluster: Cluster, least: int) -> list[psutil.Process]:
    """The tracker processes of this installation, if there are so many."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        home = (process.info["environ"] or {}).get("VERSEMILL_HOME")
        if (
            home == str(cluster.home)
            and "versemill_workers.trackers.process" in process.info["cmdline"]
        ):
            found.append(process)
    return found if len(found) >= least else []
