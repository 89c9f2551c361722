"""Memory of a trainer process on `classic`, while a real worker runs it.

    python benchmarks/trainer_memory.py [--seconds 20]

The figure is the proportional set size (PSS) that Linux gives in /proc/PID/smaps_rollup: private
pages count whole, shared ones (PyTorch's libraries, pages inherited from the fork server) by how
many processes share them. The highest reading while it trains counts. At most 600 MB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from installation import environment, submit, worker

from versemill.jobs import service
from versemill.jobs.storage.unit_of_work import Store

TARGET = 600e6
PATIENCE = 120.0


def main() -> int:
    """Measures, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of training looked at")
    seconds = parser.parse_args().seconds
    if not Path("/proc/self/smaps_rollup").exists():
        print("there is no /proc/PID/smaps_rollup here: this needs Linux", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="versemill-benchmark-") as home:
        env = environment(Path(home))
        # A checkpoint every second: handing one over is when a trainer needs most.
        env["VERSEMILL_CHECKPOINT_SECONDS"] = "1"
        submit(env, "measured", "--recipe", "classic")
        with worker(env) as running:
            highest, readings, epoch = watch(Path(home), running.pid, seconds)
    met = highest <= TARGET
    print(f"classic rnn, PyTorch {torch.__version__}, {readings} readings up to epoch {epoch}")
    print(
        f"  highest PSS of the trainer {highest / 1e6:.0f} MB   "
        f"target {TARGET / 1e6:.0f} MB: {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


def watch(home: Path, worker_pid: int, seconds: float) -> tuple[float, int, int]:
    """Highest PSS in bytes, readings taken and the epoch reached, from the first epoch on."""
    store = Store.open(f"sqlite:///{home / 'versemill.db'}")
    try:
        deadline = time.monotonic() + PATIENCE
        while (job := service.find(store, "measured")).epoch < 2:
            if time.monotonic() > deadline or job.state.ended:
                raise SystemExit(f"the job is {job.state} in epoch {job.epoch}: {job.error}")
            time.sleep(0.2)
        pid = trainer_of(worker_pid)
        highest, readings, end = 0.0, 0, time.monotonic() + seconds
        while time.monotonic() < end and service.find(store, "measured").state == "running":
            highest = max(highest, pss(pid))
            readings += 1
            time.sleep(0.1)
        return highest, readings, service.find(store, "measured").epoch
    finally:
        store.close()


def trainer_of(worker_pid: int) -> int:
    """The child of the fork server: the one process there that leads a group of its own."""
    below = psutil.Process(worker_pid).children(recursive=True)
    grandchildren = [p.pid for p in below if p.ppid() != worker_pid]
    if len(grandchildren) != 1:
        raise SystemExit(f"expected one trainer below worker {worker_pid}, found {grandchildren}")
    return grandchildren[0]


def pss(pid: int) -> float:
    """Proportional set size in bytes; 0 once the process has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    line = next((line for line in rollup.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return float(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
