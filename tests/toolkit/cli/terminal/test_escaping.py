"""Text of strangers never steers the terminal of whoever looks at it."""

from __future__ import annotations

from typing import Any

import pytest

from versemill.errors import ConfigError
from versemill.jobs.execution import worker_api
from versemill.jobs.states import State

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b1A\rall is well\u202e"
CONTROLS = set("\x1b\x07\x9b\r\u202e")


@pytest.fixture
def job(floor: Any) -> str:
    """A failed job of a worker, with lyrics, output and an error that try to steer."""
    number = floor.submit().id
    worker = worker_api.register_worker(floor.store, f"attic{EVIL}", 1)
    claim = worker_api.claim(floor.store, worker, only=number)
    assert claim is not None
    progress = worker_api.ProgressRow(step=1, epoch=1, train_perplexity=2.0)
    metric = worker_api.MetricRow(
        step=1, epoch=1, train_perplexity=2.0, valid_perplexity=None, characters_per_second=1.0
    )
    lyric = worker_api.LyricRow(
        step=1, epoch=1, prefix=EVIL, text=f"la{EVIL}\nla", seed=7, decoder="greedy"
    )
    worker_api.record(
        floor.store, claim, progress=progress, metrics=[metric], lyrics=[lyric],
        output=f"50 %{EVIL}\r\n100 %\n",
    )  # fmt: skip
    worker_api.finish(
        floor.store, claim, State.FAILED, message=f"failed {EVIL}", error=f"it {EVIL}"
    )
    return str(number)


@pytest.mark.parametrize("name", ["jobs", "show", "logs", "lyrics", "wait", "workers", "curve"])
def test_listings_show_it_escaped(command: Any, job: str, name: str) -> None:
    done = command(*([name] if name in {"jobs", "workers"} else [name, job]))
    assert not CONTROLS & set(done.out + done.err)
    if name not in {"jobs", "curve"}:
        assert r"\x1b[2J\x9b1A" in done.out
    if name == "logs":
        assert "100 %\n" in done.out


@pytest.mark.parametrize("name", ["show", "logs", "lyrics"])
def test_json_has_the_exact_text_without_the_characters(command: Any, job: str, name: str) -> None:
    done = command(name, job, "--json")
    assert not CONTROLS & set(done.out)
    assert any(EVIL in text for text in _texts(done.json))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in inner for text in _texts(part)]


@pytest.mark.parametrize(
    "name",
    ["a\x1b[2J", "a\x9b", "a\x85b", "a\u202eb", "a\u200bb", "../up", "a/b", "a\\b", "a\nb", ""],
)
def test_names_of_jobs_hold_nothing_invisible_and_no_path(floor: Any, name: str) -> None:
    with pytest.raises(ConfigError, match="spaces, slashes or invisible ones"):
        floor.submit(name)


def test_complaints_are_escaped(command: Any) -> None:
    done = command("show", f"x{EVIL}")
    assert done.code == 1
    assert not CONTROLS & set(done.err)
