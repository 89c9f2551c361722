"""Arrays and chains as people type them."""

from __future__ import annotations

from typing import Any

import pytest

from command_line import TINY_OPTIONS
from versemill.jobs import celery_client, service
from versemill.jobs.states import State


@pytest.fixture
def array(command: Any) -> list[str]:
    """An array of four jobs, called lr."""
    done = command(
        "submit", *TINY_OPTIONS, "--name", "lr", "--array", "training.learning_rate=1e-3,3e-3",
        "--array", "training.seed=1..2",
    )  # fmt: skip
    assert done.out == "submitted array lr: 4 jobs (jobs 1 to 4)\n"
    assert "no worker is running" in done.err
    return ["lr-1", "lr-2", "lr-3", "lr-4"]


def states(queue: Any) -> list[str]:
    return [job.state.value for job in reversed(service.jobs(queue.store))]


def test_values_are_toml_or_words(command: Any, queue: Any) -> None:
    done = command(
        "submit", *TINY_OPTIONS, "--array", "cell=rnn,gru",
        "--array", 'generation.decoders=["greedy"],["temperature=0.5", "top-k=3"]', "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert [job["cell"] for job in done.json] == ["rnn", "rnn", "gru", "gru"]
    decoders = service.details(queue.store, 2).config["generation"]["decoders"]
    assert decoders == ["temperature=0.5", "top-k=3"]


@pytest.mark.parametrize(
    ("array", "why"),
    [
        ("training.seed", "write SECTION.KEY=V1,V2"),
        ("training.seed=", "0 jobs"),
        ("training.seed=5..1", "0 jobs"),
        ("training.seed=1..10000", "10,000 jobs"),
        ("training.seed=1..999999999999999999", "1 to 1,000 jobs"),
        ("training.nothing=1,2", "no such setting"),
    ],
)
def test_bad_arrays_are_refused_in_one_line(command: Any, queue: Any, array: str, why: str) -> None:
    done = command("submit", "--array", array)
    assert done.code != 0
    assert why in done.complaint
    assert service.jobs(queue.store) == []


def test_jobs_folds_it_and_ranks_its_members(command: Any, queue: Any, array: list[str]) -> None:
    for name, figure in zip(array[:2], (9.0, 7.0), strict=True):
        claim = queue.claim(name)
        queue.report(claim, 1, valid=figure)
        queue.finish(claim)
    command("submit", *TINY_OPTIONS, "--name", "alone")
    lines = command("jobs").out.splitlines()
    assert len(lines) == 3
    assert "1–4  lr (4 jobs)  2 queued, 2 succeeded" in lines[2]
    assert "7.00" in lines[2]
    assert len(command("jobs", "--unfold").out.splitlines()) == 6
    assert len(command("jobs", "--json").json) == 5
    ranked = command("jobs", "--array", "lr", "--sort", "loss").out.splitlines()
    assert [line.split()[1] for line in ranked[1:]] == ["lr-2", "lr-1", "lr-4", "lr-3"]
    assert ranked[1].endswith("training.learning_rate=0.001 training.seed=2")
    assert command("jobs", "--array", "rl").complaint.startswith("no array named 'rl'; known: lr")
    waiting = command("jobs", "--state", "queued").out.splitlines()
    assert "lr (2 jobs)" in waiting[2]


def test_steering_an_array_steers_its_members(command: Any, queue: Any, array: list[str]) -> None:
    assert command("pause", "lr").out == "array lr, 4 jobs: 4 paused\n"
    assert command("resume", "lr").out == "array lr, 4 jobs: 4 queued\n"
    queue.finish(queue.claim("lr-1"))
    queue.claim("lr-2")
    done = command("cancel", "lr")
    assert done.code == 1
    assert done.out == (
        "array lr, 4 jobs: 1 will be cancelled after a checkpoint, 2 cancelled, 1 could not\n"
    )
    assert done.err == "job 1 (lr-1) is already succeeded; nothing to cancel\n"
    assert command("yield", "lr").code == 1
    done = command("retry", "lr")
    assert done.code == 1
    assert "2 queued, 2 could not" in done.out
    assert states(queue) == ["succeeded", "running", "queued", "queued"]
    done = command("rm", "lr", "--yes")
    assert done.code == 1
    assert done.out == "array lr, 4 jobs: 3 removed, 1 could not\n"
    assert "job 2 (lr-2) is running" in done.err


def test_an_array_gets_another_priority(command: Any, queue: Any, array: list[str]) -> None:
    queue.claim("lr-1")
    done = command("priority", "lr", "high")
    assert done.code == 1
    assert done.out == "array lr, 4 jobs: 3 with priority high, 1 could not\n"
    assert [job["priority"] for job in command("jobs", "--array", "lr", "--json").json] == [
        "high", "high", "high", "normal"
    ]  # fmt: skip


def test_workers_are_told_once_of_an_array(
    command: Any, array: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(celery_client, "wake", lambda _settings: lambda: told.append(1))
    command("pause", "lr")
    assert command("resume", "lr").code == 0
    assert told == [1]


def test_commands_about_one_job_say_that_it_is_an_array(command: Any, array: list[str]) -> None:
    assert command("show", "lr").complaint == (
        "lr is an array of 4 jobs, and one job is wanted, such as lr-1; "
        "`versemill jobs --array lr --sort loss` ranks them"
    )


def test_wait_waits_for_all(command: Any, queue: Any, array: list[str]) -> None:
    done = command("wait", "lr", "--timeout", "0")
    assert done.complaint == ("job 1 (lr-1) is still queued, and 3 more are not over, after 0 s")
    for name in array:
        queue.finish(queue.claim(name))
    done = command("wait", "lr")
    assert (done.code, done.out.split(";")[0]) == (0, "array lr: 4 succeeded")


def test_a_chain_says_what_it_waits_for(command: Any, queue: Any, array: list[str]) -> None:
    done = command("submit", *TINY_OPTIONS, "--name", "last", "--after", "lr:any", "--after", "1")
    assert done.err.startswith("waits for job 1 (lr-1), which is queued, and for job 2")
    queue.finish(queue.claim("lr-1"), State.FAILED, error="it broke")
    shown = command("show", "last").out
    assert (
        "waits      waits for job 1 (lr-1), which failed, and for 3 more: "
        "`versemill retry 1`, or `versemill cancel 5`"
    ) in shown
    reason = command("show", "last", "--json").json["waiting_reason"]
    assert (reason["code"], reason["jobs"][0]["id"]) == ("waits-for-jobs", 1)
    assert command("rm", "lr-2", "--yes").complaint == (
        "job 2 (lr-2) cannot be removed: job 5 (last, queued) waits for it; "
        "remove those first: `versemill rm 5`"
    )
    assert command("submit", "--after", "1").complaint.endswith(
        "`versemill retry 1` first, or have it begin after whatever end with `--after 1:any`"
    )
    assert command("rm", "lr", "last", "--yes").code == 0, "whoever waits is removed first"
    assert service.jobs(queue.store) == []


def test_begin_and_limit_are_shown(command: Any) -> None:
    done = command("submit", *TINY_OPTIONS, "--begin", "+2h", "--time-limit", "90s", "--json")
    assert done.err.startswith("held until 20")
    assert done.json["begin_at"] is not None
    assert done.json["time_limit"] == 90.0
    shown = command("show", "@last", "--json").json
    assert (shown["array"], shown["time_limit"]) == (None, 90.0)
    assert shown["waiting_reason"]["code"] == "held-until"
    assert command("submit", "--begin", "2001-01-01T10:00").code == 2
    assert "at least one second" in command("submit", "--time-limit", "0s").complaint


def test_an_array_cannot_be_followed(command: Any, queue: Any) -> None:
    assert command("submit", "--array", "training.seed=1,2", "--follow").code == 2
    assert service.jobs(queue.store) == []
