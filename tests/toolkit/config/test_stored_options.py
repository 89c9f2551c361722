"""What it means that a stored job lacks an option."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from versemill.config.job import JobConfig
from versemill.config.stored_options import ABSENT, completed
from versemill.nn.machine import KernelPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

JOB: dict[str, Any] = {
    "recipe": "default",
    "corpus": "songs.txt",
    "cell": "gru",
    "sampler": "random",
    "tokenizer": "char",
    "prefixes": ["分开"],
}


@dataclass(frozen=True, kw_only=True)
class Options:
    depth: int
    rate: float = 0.5


def test_a_stored_job_that_lacks_an_option_has_what_was_done_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = json.loads(json.dumps(JobConfig.from_json(JOB).to_json()))
    del stored["training"]["warmup_steps"], stored["generation"]
    assert JobConfig.from_json(stored) == JobConfig.from_json(JOB)
    monkeypatch.setitem(ABSENT, "training.warmup_steps", 7)
    assert JobConfig.from_json(stored).training.warmup_steps == 7


def test_completing_needs_no_value_for_what_has_no_default() -> None:
    assert completed(Options, {"older": 1}) == {"older": 1, "rate": 0.5}


def test_every_meaning_of_absence_is_of_an_option_that_is_there() -> None:
    known = {f"plan.{f.name}" for f in fields(KernelPlan)} | set(dotted(JobConfig))
    assert ABSENT.keys() <= known
    assert "training.warmup_steps" in known


def dotted(options: Any, where: str = "") -> Iterator[str]:
    for f in fields(options):
        inner = f.default_factory
        if is_dataclass(inner):
            yield from dotted(inner, f"{where}{f.name}.")
        else:
            yield f"{where}{f.name}"
