from __future__ import annotations

from typing import Any


def test_a_running_job_is_asked(command: Any, queue: Any) -> None:
    queue.running("one")
    assert "will be paused after a checkpoint" in command("pause", "one").out
    assert "pausing" in command("jobs").out
