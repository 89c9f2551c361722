"""The kernel's count of processes it ended for want of memory, and what a job makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from versemill.jobs import service
from versemill_workers.supervisor import attempt as supervising
from versemill_workers.supervisor.memory import kernel_kills
from worker_cluster import ENDLESS, Cluster

if TYPE_CHECKING:
    from pathlib import Path

VMSTAT = "pgfault 77\noom_kill 5\nnuma_hit 1\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    return {
        "groups": tmp_path / "cgroup",
        "own_group": tmp_path / "own",
        "machine": tmp_path / "vmstat",
    }


def test_its_own_group_counts_before_the_machine(files: dict[str, Path]) -> None:
    files["own_group"].write_text("0::/user.slice/worker\n")
    files["machine"].write_text(VMSTAT)
    group = files["groups"] / "user.slice" / "worker"
    group.mkdir(parents=True)
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\n")
    assert kernel_kills(**files) == 2


def test_inside_a_container_the_group_is_at_the_root(files: dict[str, Path]) -> None:
    files["own_group"].write_text("0::/docker/abc\n")
    files["groups"].mkdir()
    (files["groups"] / "memory.events").write_text("oom_kill 1\n")
    assert kernel_kills(**files) == 1


def test_without_groups_the_machine_counts(files: dict[str, Path]) -> None:
    files["machine"].write_text(VMSTAT)
    assert kernel_kills(**files) == 5


def test_without_counters_no_kernel_kill_is_reported(files: dict[str, Path]) -> None:
    assert kernel_kills(**files) == 0
    assert kernel_kills() >= 0  # whatever this machine has, it is read without an error


@pytest.mark.timeout(300)
def test_a_trainer_the_kernel_ended_ran_out_of_memory(
    sqlite_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = [0]
    monkeypatch.setattr(supervising, "kernel_kills", lambda: kills[0])
    monkeypatch.setenv("VERSEMILL_HOME", str(sqlite_cluster.home))
    job = sqlite_cluster.submit(**ENDLESS)
    trainer, thread = sqlite_cluster.supervise_here(job)
    kills[0] = 1
    trainer.kill()
    thread.join(60)
    (attempt,) = service.details(sqlite_cluster.store, job.id).attempts
    assert attempt.failure == "out_of_memory"
    assert attempt.exit == "killed by the kernel: out of memory"
    assert "(killed by the kernel: out of memory); trying again" in sqlite_cluster.messages(job)[-1]
