"""`users`, `priority`, `--priority` and `--as`, and how refusals read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from command_line import CommandLineQueue


@pytest.fixture
def as_bob(command: Any, queue: CommandLineQueue, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command as bob gives it, who is no admin; ann is."""
    queue.submit("hers")
    command("users", "add", "bob")
    monkeypatch.setenv("VERSEMILL_USER", "bob")
    return command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cancel", "hers"), "bob may not cancel job 1 (hers) of ann; only ann and admins (ann)"),
        (("rm", "hers", "--yes"), "bob may not remove job 1 (hers) of ann"),
        (("priority", "hers", "low"), "bob may not change the priority of job 1 (hers) of ann"),
        (("users", "set", "bob", "--role", "admin"), "only admins (ann) may"),
        (("cancel", "hers", "--as", "ann"), "bob may not act for ann; only admins (ann) may"),
        (("worker", "drain", "attic"), "bob may not drain workers; only admins (ann) may"),
    ],
)
def test_a_refusal_is_one_line_that_names_who_may(
    as_bob: Any, arguments: tuple[str, ...], words: str
) -> None:
    done = as_bob(*arguments)
    assert (done.code, done.out) == (1, "")
    assert words in done.complaint
    assert done.complaint.endswith("`versemill users list` shows who is admin")


def test_members_see_everybodys_jobs(as_bob: Any) -> None:
    shown = as_bob("show", "hers", "--json").json
    assert (shown["owner"], shown["priority"]) == ("ann", "normal")
    assert [job["priority"] for job in as_bob("jobs", "--json").json] == ["normal"]


def test_priority(command: Any, queue: CommandLineQueue) -> None:
    queue.submit("one")
    assert command("priority", "one", "urgent").out == "job 1 (one) has priority urgent\n"
    assert command("show", "one", "--json").json["priority"] == "urgent"
    assert command("priority", "one", "soon").code == 2


def test_submit_with_a_priority_and_for_somebody(command: Any, queue: CommandLineQueue) -> None:
    queue.submit()
    command("users", "add", "bob")
    options = ("--corpus", "starter-zh", "--json", "--priority", "high", "--as", "bob")
    job = command("submit", *options).json
    assert (job["owner"], job["priority"]) == ("bob", "high")
    assert command("pause", "@last", "--as", "bob").out.startswith(f"job {job['id']} ")


def test_urgent_is_refused_in_one_line(as_bob: Any) -> None:
    done = as_bob("submit", "--corpus", "starter-zh", "--priority", "urgent")
    assert done.code == 1
    assert "bob has 0 urgent jobs, and the limit is 0; take --priority high" in done.complaint


def test_list(command: Any, queue: CommandLineQueue) -> None:
    queue.running()
    queue.submit()
    command("users", "add", "bob")
    command("users", "disable", "bob")
    command("users", "limit", "bob", "--running", "2", "--gpus", "none", "--urgent", "3")
    ann, bob = command("users", "list", "--json").json
    assert (ann["role"], ann["running"], ann["queued"], ann["urgent"]) == ("admin", 1, 1, 0)
    assert (bob["role"], bob["disabled"]) == ("member", True)
    limits = [bob[f"{kind}_limit"] for kind in ("running", "queued", "gpu", "urgent")]
    assert limits == [2, None, None, 3]
    lines = command("users", "list").out.splitlines()
    assert lines[1].split() == ["ann", "admin", "1", "1", "–", "–", "–", "–"]
    assert lines[2].split() == ["bob", "member,", "disabled", "0", "0", "2", "–", "–", "3"]


def test_a_limit_below_what_runs_is_told(command: Any, queue: CommandLineQueue) -> None:
    queue.running()
    done = command("users", "limit", "ann", "--running", "0")
    assert done.out == "ann: running 0\n"
    assert done.err == "ann has 1 running job now, which go on; new ones are held\n"


@pytest.mark.parametrize("value", ["-1", "1.5", "many", ""])
def test_a_malformed_limit(command: Any, queue: CommandLineQueue, value: str) -> None:
    queue.submit()
    done = command("users", "limit", "ann", f"--running={value}")
    assert done.code == 2
    assert "is not a whole number or none" in done.complaint


def test_limit_without_any(command: Any) -> None:
    assert "give at least one limit" in command("users", "limit", "ann").complaint


def test_an_unknown_user(command: Any, queue: CommandLineQueue) -> None:
    queue.submit()
    done = command("users", "disable", "an")
    assert "no user named 'an'; known: ann; did you mean 'ann'?" in done.complaint
    assert "`versemill users add NAME` adds one" in done.complaint


def test_an_empty_installation(command: Any) -> None:
    done = command("users", "list")
    assert (done.out, done.code) == ("", 0)
    assert command("users", "list", "--json").json == []
