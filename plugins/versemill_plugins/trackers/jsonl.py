"""A log of one JSON object per line."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from versemill.plugins import AttemptStart, Ending, Tracker

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.plugins import EpochReport, Progress

FILE = "log.jsonl"


class JsonLines(Tracker):
    """Appends one JSON object per line to `log.jsonl`, in UTF-8, each line in one write.

    Every line has `event`, `at` (ISO 8601, UTC) and `attempt`; the rest depends on `event`:

    - `started`: the fields of `versemill.plugins.AttemptStart`;
    - `progress`: those of `versemill.plugins.Progress`; `train_perplexity` is on the training text;
    - `report`, at the end of each epoch: those of `versemill.plugins.EpochReport`;
      `valid_perplexity` is held-out perplexity, null where not measured;
    - `ended`: those of `versemill.plugins.Ending`.

    Perplexities and speeds are per character.

    When an attempt continues from a checkpoint, lines of later steps are deleted first, because
    these steps come again. So `progress` and `report` have each step once.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._path = folder / FILE
        self._attempt = 0

    def started(self, run: AttemptStart) -> None:
        """Deletes the lines that will come again."""
        self._attempt = run.attempt
        if self._path.exists():
            self._keep({"progress": run.step, "report": run.reported})
        self._write("started", asdict(run))

    def progressed(self, progress: Progress) -> None:
        """Appends it."""
        self._write("progress", asdict(progress))

    def reported(self, report: EpochReport) -> None:
        """Appends it."""
        self._write("report", asdict(report))

    def ended(self, ending: Ending) -> None:
        """Appends it."""
        self._write("ended", asdict(ending))

    def _write(self, event: str, content: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"event": event, "at": at, "attempt": self._attempt, **content}
        with self._path.open("ab") as file:
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _keep(self, last_steps: dict[str, int]) -> None:
        fresh = self._path.with_suffix(".new")
        with self._path.open("rb") as old, fresh.open("wb") as new:
            new.writelines(line for line in old if _is_kept(line, last_steps))
        fresh.replace(self._path)


def _is_kept(line: bytes, last_steps: dict[str, int]) -> bool:
    """Whether its step is at most the last one of its event; false for an incomplete line."""
    try:
        found = json.loads(line)
        last = last_steps.get(found["event"])
        return last is None or bool(found["step"] <= last)
    except (ValueError, KeyError, TypeError):
        return False
