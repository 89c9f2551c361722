from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("resume", "one"), "cannot be resumed"),
        (("retry", "one"), "only failed and cancelled"),
        (("rm", "one"), "versemill cancel 1"),
    ],
)
def test_what_a_running_job_does_not_allow(
    command: Any, queue: Any, arguments: tuple[str, ...], words: str
) -> None:
    queue.running("one")
    done = command(*arguments)
    assert done.code == 1
    assert words in done.complaint


@pytest.mark.parametrize(
    "name",
    [
        "show", "logs", "curve", "lyrics", "wait", "cancel", "pause", "resume", "retry", "rm",
        "run", "generate", "evaluate",
    ],
)  # fmt: skip
def test_an_unknown_job(command: Any, queue: Any, name: str) -> None:
    queue.submit("evening-song")
    done = command(name, "evening-sing")
    assert done.code == 1
    assert "no job named 'evening-sing'" in done.complaint
    assert "did you mean 'evening-song'?" in done.complaint
