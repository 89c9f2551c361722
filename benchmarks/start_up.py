"""Start-up time of the command line, beside that of the bare interpreter.

    python benchmarks/start_up.py [--runs 9]

`versemill --help` is to take at most 0.25 s and `versemill jobs` (on a database with jobs in it)
0.5 s of wall time; neither may import torch. Beside them: the bare interpreter, and the import of
SQLAlchemy alone. Runs of all commands take turns, so that whatever else the machine does hits
them alike; medians are compared. CPU time is shown beside: on a machine that is busy with
something else it says more than wall time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from installation import environment, submit

TARGETS = {"--help": 0.25, "jobs": 0.5}


def main() -> int:
    """Measures, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9, help="of each command, at least 5")
    runs = max(5, parser.parse_args().runs)
    with tempfile.TemporaryDirectory(prefix="versemill-benchmark-") as home:
        env = environment(Path(home))
        for number in range(3):
            submit(env, f"waiting-{number}", "--epochs", "1")
        versemill = str(Path(sys.executable).with_name("versemill"))
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            # What reading a database costs before a line of ours has run.
            "import sqlalchemy.orm": [sys.executable, "-c", "import sqlalchemy.orm"],
        }
        commands |= {f"versemill {word}": [versemill, word] for word in TARGETS}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(runs + 1):  # the first of each fills the caches
            for name, command in commands.items():
                times[name].append(timed(command, env))
        torch = [word for word in TARGETS if imports_torch([versemill, word], env)]
    return 0 if report(times, torch) else 1


def timed(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Seconds of wall time and of CPU time of one run."""
    began, used = time.perf_counter(), os.times()
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    now = os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    return time.perf_counter() - began, cpu


def imports_torch(command: list[str], env: dict[str, str]) -> bool:
    """Whether a run imports torch, as the interpreter itself reports its imports."""
    told = [sys.executable, "-X", "importtime", *command]
    done = subprocess.run(told, env=env, check=True, capture_output=True, text=True)
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "versemill.cli" in names, "the interpreter did not report its imports"
    return "torch" in names


def report(times: dict[str, list[tuple[float, float]]], torch: list[str]) -> bool:
    """Prints medians beside the targets; whether all were met."""
    print(f"median of {len(next(iter(times.values()))) - 1} runs, in turn")
    met = True
    bare = 0.0
    for name, runs in times.items():
        wall = statistics.median(run[0] for run in runs[1:])
        cpu = statistics.median(run[1] for run in runs[1:])
        bare = bare or wall
        target = TARGETS.get(name.removeprefix("versemill "))
        line = f"  {name:<21} {wall:6.3f} s wall, {cpu:6.3f} s CPU, {wall / bare:5.1f} × python"
        if target is not None:
            met = met and wall <= target
            line += f"   target {target} s: {'met' if wall <= target else 'MISSED'}"
        print(line)
    print(f"  torch imported by: {', '.join(torch) or 'none'}")
    return met and not torch


if __name__ == "__main__":
    sys.exit(main())
