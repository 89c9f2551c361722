"""What the built-in trackers leave: read back as their readers would."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from versemill.plugins import (
    AttemptStart,
    Ending,
    EpochReport,
    Finished,
    HeldOut,
    Lyric,
    Progress,
    Tracker,
)
from versemill_plugins.trackers.jsonl import JsonLines
from versemill_plugins.trackers.tensorboard import TensorBoard

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LYRIC = Lyric(step=20, prefix="分开", text="分开\n不*分*开", seed=0, decoder="greedy")
HELD_OUT = HeldOut(
    part="test",
    nats_per_character=2.0,
    bits_per_character=2.9,
    perplexity=7.5,
    characters=100,
    unknown_share=0.0,
)
FINISHED = Ending(
    outcome="finished",
    result=Finished(
        step=60, epoch=3, best_epoch=3, stopped_early=False, held_out={"test": HELD_OUT}
    ),
)


def progress(step: int) -> Progress:
    return Progress(
        step=step,
        steps=60,
        epoch=1 + (step - 1) // 20,
        epochs=3,
        train_perplexity=100.0 - step,
        characters_per_second=1000.0,
        seconds_left=1.0,
        phase="training",
    )


def report(step: int, lyrics: tuple[Lyric, ...] = ()) -> EpochReport:
    return EpochReport(
        step=step,
        epoch=step // 20,
        epochs=3,
        train_perplexity=90.0 - step,
        valid_perplexity=80.0 - step if step % 40 else None,
        characters_per_second=1000.0,
        seconds_left=1.0,
        best=True,
        lyrics=lyrics,
    )


def attempt(tracker: Tracker, number: int, step: int, up_to: int) -> Tracker:
    reported = step - 20 if step == 40 else step // 20 * 20  # validating at 40
    config = {"cell": "gru"}
    run = AttemptStart(
        job=1, name="歌", attempt=number, step=step, reported=reported, config=config
    )
    tracker.started(run)
    if reported < step and step % 20 == 0:
        tracker.reported(report(step, (LYRIC, LYRIC)))
    for now in range(step + 5, up_to + 1, 5):
        tracker.progressed(progress(now))
        if now % 20 == 0:
            tracker.reported(report(now, (LYRIC, LYRIC)))
    return tracker


def follow(kind: type[Tracker], folder: Path) -> None:
    """Killed at step 35, gone on with from step 20; killed, from the validation at 40; finished."""
    attempt(kind(folder), 1, 0, 35)
    attempt(kind(folder), 2, 20, 45).ended(Ending(outcome="lost"))
    attempt(kind(folder), 3, 40, 60).ended(FINISHED)


class TestJsonLines:
    def test_neither_gap_nor_overlap_by_step(self, tmp_path: Path) -> None:
        follow(JsonLines, tmp_path)
        lines = self.read(tmp_path)
        steps = [line["step"] for line in lines if line["event"] == "progress"]
        assert steps == list(range(5, 61, 5))
        attempts = [line["attempt"] for line in lines if line["event"] == "progress"]
        assert attempts == [1] * 4 + [2] * 4 + [3] * 4
        reports = [line for line in lines if line["event"] == "report"]
        assert [line["valid_perplexity"] for line in reports] == [60.0, None, 20.0]
        assert reports[0]["lyrics"][0]["text"] == "分开\n不*分*开"
        story = [(line["event"], line["attempt"]) for line in lines if "step" not in line]
        assert story == [("ended", 2), ("ended", 3)]
        assert lines[-1]["result"]["held_out"]["test"]["perplexity"] == 7.5
        assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]

    def test_a_line_cut_off_by_a_kill_is_dropped(self, tmp_path: Path) -> None:
        attempt(JsonLines(tmp_path), 1, 0, 10)
        with (tmp_path / "log.jsonl").open("ab") as file:
            file.write('{"event": "report", "lyrics": "分'.encode()[:-1])
        attempt(JsonLines(tmp_path), 2, 10, 15)
        assert [line["event"] for line in self.read(tmp_path)] == [
            *("started", "progress", "progress", "started", "progress")
        ]

    def read(self, folder: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines()]


class TestTensorBoard:
    @pytest.fixture
    def found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EventAccumulator:
        seconds = itertools.count(1_800_000_000)  # files are read in order of their time
        clock = SimpleNamespace(time=lambda: next(seconds))
        monkeypatch.setattr("tensorboard.summary.writer.event_file_writer.time", clock)
        follow(TensorBoard, tmp_path)
        return EventAccumulator(str(tmp_path), size_guidance={TENSORS: 0}).Reload()

    def test_neither_gap_nor_overlap_by_step(self, found: EventAccumulator) -> None:
        running = self.points(found.Scalars("perplexity/training_running"))
        steps = [*range(5, 40, 5), *range(45, 61, 5)]  # that of step 40 goes with its report
        assert running == [(step, 100 - step) for step in steps]

    def test_figures_at_the_end_of_an_epoch(self, found: EventAccumulator) -> None:
        assert self.points(found.Scalars("perplexity/training")) == [(20, 70), (40, 50), (60, 30)]
        assert self.points(found.Scalars("perplexity/validation")) == [(20, 60), (60, 20)]
        assert self.points(found.Scalars("best/test")) == [(60, 7.5)]

    def test_training_perplexity_is_not_shown_as_quality(self, found: EventAccumulator) -> None:
        for tag in found.Tags()["scalars"]:
            described = found.SummaryMetadata(tag).summary_description
            assert ("not its quality" in described) == ("/training" in tag), tag
        assert "held-out text" in found.SummaryMetadata("best/test").summary_description

    def test_lyrics_as_they_were_written(self, found: EventAccumulator) -> None:
        first = found.Tensors("lyrics")[0]
        assert first.step == 20
        text = first.tensor_proto.string_val[0].decode()
        assert text == "    分开\n    不*分*开\n\n    分开\n    不*分*开"
        assert list(found.PluginTagToContent("text")) == ["lyrics"]

    def points(self, events: Iterable[Any]) -> list[tuple[int, float]]:
        return [(e.step, e.value) for e in events]
