"""The queue of jobs in figures, beside a bare Celery + Redis no-op task, in one run.

    python benchmarks/job_queue.py [--quick] [--only PART ...]

Parts are `throughput`, `commands`, `recovery` and `persistence`; all of them take about six
minutes, with --quick three.
"""

from __future__ import annotations

import argparse
import os
import sys

import queue_commands
import queue_persistence
import queue_recovery
import queue_throughput
from queue_ground import Report, ground

PARTS = {
    "throughput": queue_throughput.measure,
    "commands": queue_commands.measure,
    "recovery": queue_recovery.measure,
    "persistence": queue_persistence.measure,
}


def main() -> int:
    """Measures, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts alone")
    options = parser.parse_args()
    report = Report()
    with ground(quick=options.quick) as here:
        for name in options.only or PARTS:
            _say_load()
            PARTS[name](here, report)
    _say_load()
    missed = [figure.what for figure in report.figures if not figure.met]
    print(f"missed: {'; '.join(missed)}" if missed else "every target met")
    return 1 if missed else 0


def _say_load() -> None:
    """What others compute meanwhile slows everything down, Celery alike."""
    print(f"-- load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    sys.exit(main())
