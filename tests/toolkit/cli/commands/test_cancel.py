from __future__ import annotations

from typing import Any

from versemill.jobs import service


def state(floor: Any, key: str) -> str:
    return str(service.find(floor.store, key).state)


def test_cancel_and_retry_a_waiting_job(command: Any, floor: Any) -> None:
    floor.submit("one")
    assert command("cancel", "one").out == "job 1 (one) is cancelled\n"
    retried = command("retry", "one")
    assert (retried.code, state(floor, "one")) == (0, "queued")
    assert "versemill worker" in retried.err


def test_several_jobs_at_once(command: Any, floor: Any) -> None:
    for name in ("a", "b"):
        floor.submit(name)
    assert len(command("cancel", "a", "b").out.splitlines()) == 2
