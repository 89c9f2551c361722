from __future__ import annotations

from dataclasses import replace
from typing import Any

from gpus import GB, GPU, claim, submit
from versemill.jobs.execution import worker_api


def test_gpus_are_shown_with_their_jobs_and_what_outsiders_use(command: Any, queue: Any) -> None:
    gpu = GPU(foreign=9 * GB, settings={"index": 1, "utilisation": 37})
    worker = worker_api.register_worker(queue.store, "attic", 4, labels=("fast",))
    job = submit(queue.store, memory=20 * GB)
    running = claim(queue.store, worker, gpu)
    assert running is not None
    gpu.takes(queue.store, running, 15 * GB)
    worker_api.heartbeat(queue.store, replace(worker, devices=(gpu.measure(),)))
    shown = command("workers").out.splitlines()
    assert shown[-2].split() == ["WORKER", "GPU", "JOBS", "MEMORY", "FREE", "OUTSIDE", "COMPUTES"]
    assert shown[-1] == "attic   1 NVIDIA H100  1 of 4   80 GB  56 GB     9 GB      37 %"
    (found,) = command("workers", "--json").json
    assert found["labels"] == ["fast"]
    (device,) = found["gpus"]
    assert (device["jobs"], device["foreign"]) == ([job.id], 9 * GB)


def test_a_worker_without_gpus_has_no_table_of_them(command: Any, queue: Any) -> None:
    worker_api.register_worker(queue.store, "attic", 1)
    assert "OUTSIDE" not in command("workers").out
