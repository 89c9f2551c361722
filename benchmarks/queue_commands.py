"""Part of `job_queue`: what people wait for when they type a command, in a long history.

100,000 ended jobs of 50 owners, and one whose curve has 100,000 reports. Commands are processes of
their own, from start to end; they take turns, after one run each that fills the caches.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from installation import environment
from queue_ground import Figure, add_curve, fill_with_jobs, work

from versemill.jobs.states import State
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from queue_ground import Ground, Report

HISTORY = 100_000
REPORTS = 100_000
ASKED = {"submit": 0.7, "jobs": 0.6, "curve": 1.0}


def measure(ground: Ground, report: Report) -> None:
    """Every figure of this part."""
    runs = 5 if ground.quick else 9
    report.title(f"commands in a history of {HISTORY:,} jobs, medians of {runs} runs in turn")
    commands = {"python -c pass": ([sys.executable, "-c", "pass"], environment(ground.home()))}
    for kind, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL and Redis")):
        env = environment(ground.home())
        job = _history(ground, kind, env)
        versemill = str(Path(sys.executable).with_name("versemill"))
        for words in (["submit", "--corpus", "starter-zh"], ["jobs"], ["curve", str(job)]):
            commands[f"versemill {words[0]}, {name}"] = ([versemill, *words], env)
    times: dict[str, list[tuple[float, float]]] = {what: [] for what in commands}
    for _ in range(runs + 1):
        for what, (command, env) in commands.items():
            times[what].append(_timed(command, env))
    for what, both in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*both[1:], strict=True))
        asked = ASKED.get(what.removeprefix("versemill ").partition(",")[0])
        report.add(Figure(what, wall, "s", asked, remark=f"CPU time {cpu:.2f} s"))


def _history(ground: Ground, kind: str, env: dict[str, str]) -> int:
    """Makes the history, points commands to it, and returns the job with the long curve."""
    env["VERSEMILL_DATABASE_URL"] = url = ground.database(kind)
    if kind == "postgresql":
        env["VERSEMILL_BROKER_URL"] = ground.redis.url
    store = Store.open(url)
    ended = {"state": State.SUCCEEDED, "finished_at": db_now()}
    job = fill_with_jobs(store, work(), HISTORY, prefix="ended-", **ended)
    add_curve(store, job, REPORTS)
    store.close()
    return job


def _timed(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Seconds of wall time and of CPU time of one run."""
    began, used = time.perf_counter(), os.times()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    wall, now = time.perf_counter() - began, os.times()
    if done.returncode != 0 or "did not answer" in done.stderr:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return wall, now.children_user + now.children_system - used.children_user - used.children_system
