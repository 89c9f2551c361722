"""How a trainer ended, in which class, and what it printed: read by `show` and `logs`."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from versemill.jobs import service
from worker_cluster import ENDLESS, SMALL, Cluster, command

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.jobs.views import JobView

pytestmark = pytest.mark.timeout(400)


def ended_attempt(cluster: Cluster, job: JobView) -> None:
    def ended() -> bool:
        attempts = service.details(cluster.store, job.id).attempts
        return bool(attempts) and attempts[0].ended_at is not None

    cluster.until(ended)


def test_a_crash_of_native_code(sqlite_cluster: Cluster) -> None:
    job = sqlite_cluster.submit(**ENDLESS)
    sqlite_cluster.start_worker("--name", "attic")
    sqlite_cluster.until_training(job).send_signal(signal.SIGSEGV)
    ended_attempt(sqlite_cluster, job)
    shown = command(sqlite_cluster, "show", str(job.id))
    died = r"attic: the trainer on attic died at step [\d,]+ \(killed by signal 11 \(SIGSEGV\)\)"
    assert re.search(rf"{died}; trying again \(1 of 5\)$", shown, re.M)
    steps = r"  1  on attic: steps 0 to [\d,]+; "
    assert re.search(
        rf"{steps}failed \(infrastructure\), killed by signal 11 \(SIGSEGV\)$", shown, re.M
    )
    assert re.search(r"^       \| .*", shown, re.M)  # the last lines of what it printed
    assert "Fatal Python error: Segmentation fault" in command(sqlite_cluster, "logs", str(job.id))


ENDS = """
import os, sys
from versemill.plugins import hookimpl

class Ends:
    carries_state = False

    def __init__(self, length, batch_size, window):
        print("about to end")
        if window == 11:
            raise ValueError("no windows today")
        if window == 12:
            raise MemoryError
        if window == 13:
            sys.exit(7)
        if window == 14:
            open("/no/such/file")
        sys.stdout.flush()
        os._exit(7)

    def starts(self, generator):
        pass

@hookimpl
def versemill_register_samplers(register):
    register("ends", "ends:Ends", summary="ends the process")
"""


@pytest.fixture
def plugin(sqlite_cluster: Cluster, tmp_path: Path) -> Cluster:
    """An installation whose worker has a sampler that ends its process."""
    site = tmp_path / "site"
    about = site / "ends-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "ends.py").write_text(ENDS)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ends\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[versemill]\nends = ends\n")
    sqlite_cluster.environment["PYTHONPATH"] = str(site)
    return sqlite_cluster


CLASSES = {
    10: (
        r"the trainer on attic died at step 0 \(exit code 7\); trying again \(1 of 5\)",
        r"failed \(infrastructure\), exit code 7",
    ),
    11: (
        r"sampler 'ends' of ends 1\.0 raised ValueError: no windows today",
        r"failed \(user error\), exit code 1",
    ),
    13: (
        r"sampler 'ends' of ends 1\.0 raised SystemExit: 7",
        r"failed \(user error\), exit code 1",
    ),
    14: (
        r"sampler 'ends' of ends 1\.0 raised FileNotFoundError: .*/no/such/file'",
        r"failed \(user error\), exit code 1",
    ),
    12: (
        r"out of memory: MemoryError; trying again in 2 s \(1 of 1\)",
        r"failed \(out of memory\), exit code 1",
    ),
}
"""What is told of a job with so long a window, and how its first attempt is shown."""


def submit_to_end(cluster: Cluster, window: int) -> JobView:
    (cluster.home / "song.txt").write_text("小船摇呀摇\n摇到月亮桥\n" * 40)
    settings = SMALL | {"training.window": window}
    del settings["prefixes"]
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    corpus = str(cluster.home / "song.txt")
    command(cluster, "submit", "--corpus", corpus, "--sampler", "ends", *options)
    return service.find(cluster.store, "@last")


def test_classes_exit_codes_and_output(plugin: Cluster) -> None:
    jobs = {window: submit_to_end(plugin, window) for window in CLASSES}
    plugin.start_worker("--name", "attic")  # one for all: most of what this costs is its start
    for window, (message, how) in CLASSES.items():
        job = jobs[window]
        ended_attempt(plugin, job)
        shown = command(plugin, "show", str(job.id))
        assert re.search(rf"attic: {message}$", shown, re.M), shown
        assert re.search(rf"^    1  on attic: no step; {how}$", shown, re.M), shown
        assert "about to end" in shown
        assert "about to end\n" in command(plugin, "logs", str(job.id))


def test_a_job_of_the_database_that_no_memory_holds_is_not_begun(sqlite_cluster: Cluster) -> None:
    # Submitting would refuse it; whoever has the database's password need not submit.
    job = sqlite_cluster.submit(model__hidden_size=2**31 - 1)
    sqlite_cluster.start_worker("--name", "attic")
    ended_attempt(sqlite_cluster, job)
    shown = command(sqlite_cluster, "show", str(job.id))
    message = r"attic: model\.hidden_size = 2147483647 is not allowed: training needs about .* GiB"
    assert re.search(rf"{message}.*; trying again in 2 s \(1 of 1\)$", shown, re.M), shown
    assert "failed (out of memory), exit code 1" in shown
