"""How soon a running job does what people ask of it, at the sizes of the `default` recipe.

    python benchmarks/request_latency.py [--rounds 5]

Pause, resume, yield, cancel and retry in turn on one job and one warm worker, on SQLite. Measured
is the time from the call to the new state in the database: for pause, yield and cancel that is
after their checkpoint is durable, for resume and retry when a worker has claimed the job. Each is
to take at most 2 s.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from installation import environment, submit, worker

from versemill.jobs import service
from versemill.jobs.storage.unit_of_work import Store

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = 2.0
PATIENCE = 120.0


def main() -> int:
    """Measures, prints, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="of all requests")
    rounds = max(1, parser.parse_args().rounds)
    with tempfile.TemporaryDirectory(prefix="versemill-benchmark-") as home:
        env = environment(Path(home))
        options = ["--set", "training.epochs=100000", "--set", "training.patience=0"]
        submit(env, "long", *options)
        store = Store.open(f"sqlite:///{home}/versemill.db")
        with worker(env):
            times = measure(store, rounds)
        store.close()
    return 0 if report(times) else 1


def measure(store: Store, rounds: int) -> dict[str, list[float]]:
    """Seconds that each request took, by its name."""
    times: dict[str, list[float]] = {}

    def let_go(attempt: int) -> Callable[[], bool]:
        return lambda: service.details(store, 1).attempts[attempt - 1].ended_at is not None

    for _ in range(rounds):
        for name, request, again, take_up in (
            ("pause", service.request_pause, "resume", service.resume),
            ("yield", service.request_yield, None, None),
            ("cancel", service.request_cancel, "retry", service.retry),
        ):
            training(store)
            done = let_go(service.find(store, "1").attempt)
            timed(times, name, partial(request, store, 1, service.Principal("me")), done)
            if again is not None:
                timed(
                    times,
                    again,
                    partial(take_up, store, 1, service.Principal("me")),
                    partial(runs, store),
                )
    return times


def timed(
    times: dict[str, list[float]],
    name: str,
    request: Callable[[], object],
    done: Callable[[], bool],
) -> None:
    """Asks, and waits until it is done."""
    began = time.monotonic()
    request()
    wait_for(done)
    times.setdefault(name, []).append(time.monotonic() - began)


def training(store: Store) -> None:
    """Waits until a trainer has done a few steps of this attempt."""

    def steps() -> bool:
        job = service.details(store, 1)
        newest = job.attempts[-1] if job.attempts else None
        if newest is None or newest.ended_at or newest.first_step is None:
            return False
        return job.job.step > newest.first_step

    wait_for(steps)


def runs(store: Store) -> bool:
    """Whether a worker has the job."""
    return service.find(store, "1").state == "running"


def wait_for(done: Callable[[], bool]) -> None:
    """Waits until `done()`."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"not done within {PATIENCE:.0f} s")
        time.sleep(0.01)


def report(times: dict[str, list[float]]) -> bool:
    """Prints the figures; whether every one is within the target."""
    print(f"from a request to the new state, target {TARGET} s each")
    met = True
    for name, seconds in times.items():
        good = max(seconds) <= TARGET
        met = met and good
        print(
            f"  {name:<8} median {statistics.median(seconds):.2f} s, "
            f"slowest of {len(seconds)}: {max(seconds):.2f} s  {'met' if good else 'MISSED'}"
        )
    return met


if __name__ == "__main__":
    sys.exit(main())
