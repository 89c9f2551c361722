"""Event files for TensorBoard, written without TensorFlow and without torch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from versemill.errors import PluginError
from versemill.plugins import AttemptStart, Ending, Tracker

try:
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
except ModuleNotFoundError as missing:
    raise PluginError(
        f"it needs the package {missing.name!r}: pip install 'versemill[tensorboard]'"
    ) from None

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.plugins import EpochReport, HeldOut, Progress

_TRAINING = "Per character, on the training text: shows whether the model learns, not its quality."
_HELD_OUT = "Per character, on held-out text: use this figure to compare runs."
_TAGS = {
    "perplexity/validation": _HELD_OUT,
    "perplexity/training": f"Mean of an epoch. {_TRAINING}",
    "perplexity/training_running": f"Mean of the epoch so far. {_TRAINING}",
    "best/validation": f"{_HELD_OUT} Of the best weights, at the run's end.",
    "best/test": f"{_HELD_OUT} Of the best weights, at the run's end, on the test part.",
    "speed/characters_per_second": "Training speed, validation not counted.",
}
_LYRICS = "lyrics"


class TensorBoard(Tracker):
    """Writes an event file per attempt: perplexities, speed and lyrics, by optimizer step.

    `perplexity/validation` is held-out perplexity; `perplexity/training` (by epoch) and
    `perplexity/training_running` are on the training text and do not show quality. All are per
    character. `best/validation` and `best/test` are the figures of the best weights at the end of
    the run. `speed/characters_per_second` and the texts under `lyrics` are written too.

    When an attempt continues from a checkpoint, a session start is written. TensorBoard then drops
    the later steps of earlier attempts, because these steps come again.

    Needs `pip install 'versemill[tensorboard]'` where the worker runs. `tensorboard --logdir` with
    the tracking folder shows all jobs.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._writer = EventFileWriter(str(folder))
        self._step = 0

    def started(self, run: AttemptStart) -> None:
        """Marks where this attempt continues."""
        self._step = run.step
        if run.attempt > 1:
            first = run.step + (run.step == run.reported)  # an end of epoch may come again
            self._write(Event(step=first, session_log=SessionLog(status=SessionLog.START)))

    def progressed(self, progress: Progress) -> None:
        """Writes the running figures of the epoch."""
        self._step = progress.step
        self._scalars(
            {
                "perplexity/training_running": progress.train_perplexity,
                "speed/characters_per_second": progress.characters_per_second,
            }
        )

    def reported(self, report: EpochReport) -> None:
        """Writes the figures of an epoch, and the lyrics if there are any."""
        self._step = report.step
        self._scalars(
            {
                "perplexity/training": report.train_perplexity,
                "perplexity/validation": report.valid_perplexity,
                "speed/characters_per_second": report.characters_per_second,
            }
        )
        if report.lyrics:
            self._text("\n\n".join(_as_written(lyric.text) for lyric in report.lyrics))

    def ended(self, ending: Ending) -> None:
        """Writes the figures of the best weights, and closes the file."""
        if ending.result is not None:
            held_out: dict[str, HeldOut] = ending.result.held_out
            self._scalars({f"best/{part}": f.perplexity for part, f in held_out.items()})
        self._writer.close()

    def _scalars(self, figures: dict[str, float | None]) -> None:
        values = [
            Summary.Value(
                tag=tag, simple_value=figure, metadata=_metadata("scalars", _TAGS.get(tag, ""))
            )
            for tag, figure in figures.items()
            if figure is not None
        ]
        if values:
            self._write(Event(step=self._step, summary=Summary(value=values)))

    def _text(self, text: str) -> None:
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        tensor.tensor_shape.dim.add(size=1)
        value = Summary.Value(tag=_LYRICS, tensor=tensor, metadata=_metadata("text", ""))
        self._write(Event(step=self._step, summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)
        self._writer.flush()


def _metadata(plugin: str, description: str) -> SummaryMetadata:
    data = SummaryMetadata.PluginData(plugin_name=plugin)
    return SummaryMetadata(plugin_data=data, summary_description=description)


def _as_written(text: str) -> str:
    """A block that Markdown does not change, including line breaks."""
    return "\n".join(f"    {line}" for line in text.split("\n"))
