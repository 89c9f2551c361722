"""The conformance suite of trackers."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from versemill.plugins.isolation import OverdueError, captured, limited
from versemill.plugins.run_events import EpochReport, Finished, HeldOut, Lyric, Progress
from versemill.plugins.tracker import CALL_SECONDS, AttemptStart, Ending, Tracker
from versemill.testing.suite import ConformanceError, Suite, require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.plugins.registry import Kind

_WHY = "it is left out for the rest of the attempt, and its record ends there"


class TrackerTests(Suite):
    """What every tracker must keep; subclass it and set `name`."""

    kind: ClassVar[Kind] = "tracker"

    def test_it_follows_a_run(self) -> None:
        """It takes every call of a run: progress, reports with and without figures, its end."""
        with _folder() as folder:
            self._follow(folder, _FINISHED)

    def test_it_goes_on_in_its_folder(self) -> None:
        """A further attempt can start in the same folder, however the last one has ended."""
        failed = Ending(outcome="failed", error="不行")
        for ending in (Ending(outcome="stopped"), failed, Ending(outcome="lost"), None):
            with _folder() as folder:
                self._follow_leniently(folder, ending)
                _call(self._tracker(folder), "started", _run(2, 10))

    def test_it_writes_into_its_folder_only(self) -> None:
        """Nothing appears beside the folder it was given, nor in the current one."""
        with _folder() as folder:
            self._follow_leniently(folder, _FINISHED)
            beside = {path.name for path in folder.parent.iterdir()} - {folder.name, "current"}
            beside |= {path.name for path in Path.cwd().iterdir()}
        require(
            not beside,
            f"it has written {', '.join(sorted(beside))} outside its folder",
            why="one machine trains the jobs of many people; other files could not be found",
            mend="write below self.folder",
        )

    def test_it_prints_nothing(self) -> None:
        """Nothing goes to standard output."""
        with _folder() as folder, captured() as printed:
            self._follow_leniently(folder, _FINISHED)
        require(
            not printed.text,
            f"it prints {printed.text[:60]!r}",
            why="what it prints fills the log of the job, twice a second",
            mend="use logging, or write into self.folder",
        )

    def _tracker(self, folder: Path) -> Tracker:
        loaded: type[Tracker] = self.registration().load()
        return loaded(folder, **self.keywords())

    def _follow(self, folder: Path, ending: Ending | None) -> None:
        """A first attempt, as a worker's tracker process makes the calls; None for a kill."""
        tracker = self._tracker(folder)
        _call(tracker, "started", _run(1, 0))
        for step, figure in ((5, None), (10, 100.0), (20, 100.0)):
            _call(tracker, "progressed", _progress(step, figure))
        _call(tracker, "reported", _report(20, None, ()))
        _call(tracker, "reported", _report(40, 12.5, (_LYRIC, _LYRIC)))
        if ending is not None:
            _call(tracker, "ended", ending)

    def _follow_leniently(self, folder: Path, ending: Ending | None) -> None:
        """Likewise, but errors of the calls are ignored; another check reports them."""
        with contextlib.suppress(ConformanceError):
            self._follow(folder, ending)


def _call(tracker: Tracker, name: str, argument: object) -> None:
    try:
        with limited(CALL_SECONDS):
            getattr(tracker, name)(argument)
    except OverdueError as overdue:
        require(False, f"{name}: {overdue}", why=_WHY, mend="bound every wait in it")
    except Exception as error:  # noqa: BLE001 - third-party code may raise anything
        require(
            False,
            f"{name}({argument}) raised {type(error).__name__}: {error}",
            why=_WHY,
            mend="take None where a figure may be missing, and any text of Unicode",
        )


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A job's folder, with the current one beside it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as made:
        root = Path(made).resolve()
        (root / "1-分开").mkdir()
        (root / "current").mkdir()
        os.chdir(root / "current")
        try:
            yield root / "1-分开"
        finally:
            os.chdir(before)


def _run(attempt: int, step: int) -> AttemptStart:
    config = {"corpus": "songs", "cell": "a-cell", "training": {"epochs": 3}}
    return AttemptStart(job=1, name="分开", attempt=attempt, step=step, reported=0, config=config)


def _progress(step: int, figure: float | None) -> Progress:
    return Progress(
        step=step,
        steps=60,
        epoch=1,
        epochs=3,
        train_perplexity=figure,
        characters_per_second=figure,
        seconds_left=figure,
        phase="training",
    )


def _report(step: int, valid: float | None, lyrics: tuple[Lyric, ...]) -> EpochReport:
    return EpochReport(
        step=step,
        epoch=1,
        epochs=3,
        train_perplexity=20.0,
        valid_perplexity=valid,
        characters_per_second=valid,
        seconds_left=valid,
        best=valid is not None,
        lyrics=lyrics,
    )


_HELD_OUT = HeldOut(
    part="validation",
    nats_per_character=2.5,
    bits_per_character=3.6,
    perplexity=12.2,
    characters=400,
    unknown_share=0.01,
)
_RESULT = Finished(
    step=60, epoch=3, best_epoch=2, stopped_early=False, held_out={"validation": _HELD_OUT}
)
_FINISHED = Ending(outcome="finished", result=_RESULT)
_LYRIC = Lyric(step=40, prefix="分开", text="分开\n<b>*不*</b> 🌙\n", seed=0, decoder="a-stage=1")
