"""What a job may ask of a device, from the command line."""

from __future__ import annotations

from typing import Any

import pytest

from versemill.cli.device_options import size
from versemill.jobs import service
from versemill.jobs.devices import DeviceNeeds
from versemill.jobs.storage.plugin_fit import device_needs
from versemill.jobs.storage.tables import Job


def needs_of(queue: Any, job_id: int) -> DeviceNeeds:
    with queue.store.reading() as session:
        return device_needs(session, session.get(Job, job_id).requirements)


def test_options_become_needs(command: Any, queue: Any) -> None:
    done = command(
        "submit", "--device", "gpu", "--min-memory", "9GB", "--device-name", "H100", "--label",
        "fast", "--label", "attic", "--label", "fast", "--exclusive",
    )  # fmt: skip
    assert done.code == 0, done.err
    needs = needs_of(queue, service.find(queue.store, "@last").id)
    assert (needs.kind, needs.min_memory, needs.name) == ("gpu", 9 * 10**9, "H100")
    assert needs.labels == ("attic", "fast")
    assert needs.exclusive
    assert needs.memory > 700_000_000  # estimated


def test_a_job_for_the_cpu_needs_no_gpu_memory(command: Any, queue: Any) -> None:
    assert command("submit", "--device", "cpu").code == 0
    assert needs_of(queue, 1) == DeviceNeeds(kind="cpu")


def test_equal_jobs_require_the_same_and_larger_ones_more(command: Any, queue: Any) -> None:
    for options in ((), (), ("--set", "training.learning_rate=0.1"), ("--set", "training.seed=9")):
        assert command("submit", *options).code == 0
    assert command("submit", "--set", "model.hidden_size=4096").code == 0
    with queue.store.reading() as session:
        jobs = [session.get(Job, number) for number in range(1, 6)]
        assert len({job.requirements for job in jobs[:4]}) == len({job.shape for job in jobs[:4]})
        assert len({job.shape for job in jobs[:4]}) == 1
        assert jobs[4].shape != jobs[0].shape
    assert needs_of(queue, 5).memory > needs_of(queue, 1).memory


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--min-memory", "much"), "write a size such as 9GB"),
        (("--min-memory", "9"), "write a size such as 9GB"),
        (("--device", "tpu"), "'tpu' is not one of 'cpu', 'gpu'"),
        (("--device", "cpu", "--exclusive"), "--device cpu and --exclusive exclude each other"),
        (("--device", "cpu", "--min-memory", "1GB"), "exclude each other"),
        (("--label", "a\tb"), "one line without tabs"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    command: Any, options: tuple[str, ...], told: str
) -> None:
    done = command("submit", *options)
    assert done.code != 0
    assert told in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("written", "meant"),
    [("9GB", 9 * 10**9), ("500mb", 5 * 10**8), ("8GiB", 8 * 2**30), ("1.5 TB", 15 * 10**11)],
)
def test_sizes(written: str, meant: int) -> None:
    assert size(written, "--min-memory") == meant
