"""What tests of the command line share: processes, outcomes, and jobs written by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from people import ANN
from versemill.config.job import JobConfig, TrainingOptions
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Submission
from versemill.jobs.states import State
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.jobs.execution.worker_api import Claim
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobView

TINY = (
    "corpus_options.first=1200",
    "model.hidden_size=12",
    "model.embedding_size=8",
    "training.batch_size=4",
    "training.window=16",
    "training.epochs=4",
    "training.report_every=2",
    "generation.length=30",
)
"""Overrides that make a job of the default recipe train in a moment."""

TINY_OPTIONS = tuple(part for setting in TINY for part in ("--set", setting))


@dataclass(frozen=True)
class Completed:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr, of a command that failed as it should."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("versemill: ")
        assert "Traceback" not in self.err
        return lines[0].removeprefix("versemill: ")


def environment(home: Path) -> dict[str, str]:
    """The environment of a process whose data is in `home` and nowhere else."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("VERSEMILL_")}
    return kept | {"VERSEMILL_HOME": str(home), "VERSEMILL_USER": "ann"}


def run_process(home: Path, *arguments: str, timeout: float = 120) -> Completed:
    """The command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "versemill", *arguments],
        env=environment(home),
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())


CONFIG = JobConfig(
    recipe="default",
    corpus="starter-zh",
    cell="gru",
    sampler="consecutive",
    tokenizer="char",
    prefixes=("分开", "不分开"),
    training=TrainingOptions(epochs=50, report_every=10),
)
TEXT = Text(("晨光落在窗台\n", "雨停了\n"))


class CommandLineQueue:
    """Jobs and workers, written as a worker would write them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def submit(self, name: str | None = None, config: JobConfig = CONFIG) -> JobView:
        submission = Submission(config=config, text=TEXT, plugins=[], name=name)
        return service.enqueue(self.store, submission, ANN).job

    def running(self, name: str | None = None, config: JobConfig = CONFIG) -> Claim:
        return self.claim(str(self.submit(name, config).id))

    def claim(self, key: str) -> Claim:
        """Claims a job that is queued."""
        job = service.find(self.store, key)
        worker = worker_api.register_worker(self.store, "attic", 1)
        claim = worker_api.claim(self.store, worker, only=job.id)
        assert claim is not None
        return claim

    def report(self, claim: Claim, epoch: int, *, valid: float | None = None) -> None:
        step = epoch * 10
        lyric = worker_api.LyricRow(
            step=step,
            epoch=epoch,
            prefix="分开",
            text=f"分开\n第{epoch}句",
            seed=7,
            decoder="greedy",
        )
        metric = worker_api.MetricRow(
            step=step,
            epoch=epoch,
            train_perplexity=1 + 100 / epoch,
            valid_perplexity=valid,
            characters_per_second=1234.5,
        )
        progress = worker_api.ProgressRow(
            step=step,
            epoch=epoch,
            train_perplexity=1 + 100 / epoch,
            valid_perplexity=valid,
            characters_per_second=1234.5,
            seconds_left=65.0,
        )
        lyrics = [lyric] if epoch % 10 == 0 else []
        worker_api.record(self.store, claim, progress=progress, metrics=[metric], lyrics=lyrics)

    def finish(
        self, claim: Claim, state: State = State.SUCCEEDED, *, error: str | None = None
    ) -> None:
        worker_api.finish(self.store, claim, state, message="the end", error=error)

    def finished(self, name: str | None = None, *, epochs: int = 20) -> Claim:
        claim = self.running(name)
        for epoch in range(1, epochs + 1):
            self.report(claim, epoch, valid=None if epoch % 2 else 200 / epoch + 5)
        self.finish(claim)
        return claim
