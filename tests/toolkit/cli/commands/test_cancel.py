from __future__ import annotations

from typing import Any

from versemill.jobs import service


def state(queue: Any, key: str) -> str:
    return str(service.find(queue.store, key).state)


def test_cancel_and_retry_a_waiting_job(command: Any, queue: Any) -> None:
    queue.submit("one")
    assert command("cancel", "one").out == "job 1 (one) is cancelled\n"
    retried = command("retry", "one")
    assert (retried.code, state(queue, "one")) == (0, "queued")
    assert "versemill worker" in retried.err


def test_several_jobs_at_once(command: Any, queue: Any) -> None:
    for name in ("a", "b"):
        queue.submit(name)
    assert len(command("cancel", "a", "b").out.splitlines()) == 2
