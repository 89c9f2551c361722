"""Each check of the trackers' suite can fail, and no other fails for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from conformance import failures
from versemill.plugins import Tracker
from versemill.testing import TrackerTests, trackers


class Good(Tracker):
    def started(self, run):
        (self.folder / "begun").write_text(str(run.step))


class NeedsFigures(Tracker):
    def progressed(self, progress):
        round(progress.train_perplexity)


class OnlyOnce(Tracker):
    def started(self, run):
        (self.folder / "begun").touch(exist_ok=False)


class WritesAround(Tracker):
    def started(self, run):
        (self.folder / ".." / "runs.txt").write_text(run.name)


class WritesWhereItIs(Tracker):
    def ended(self, ending):
        Path("result.txt").write_text(str(ending))


class Chatty(Tracker):
    def reported(self, report):
        print("epoch", report.epoch)


class Hangs(Tracker):
    def ended(self, ending):
        time.sleep(60)


WRONG = [
    ("test_it_follows_a_run", NeedsFigures),
    ("test_it_follows_a_run", Hangs),
    ("test_it_goes_on_in_its_folder", OnlyOnce),
    ("test_it_writes_into_its_folder_only", WritesAround),
    ("test_it_writes_into_its_folder_only", WritesWhereItIs),
    ("test_it_prints_nothing", Chatty),
]


def test_what_keeps_the_contract_passes() -> None:
    assert failures(TrackerTests, Good) == []
    assert {check for check, _ in WRONG} == {n for n in dir(TrackerTests) if n[:5] == "test_"}


@pytest.mark.parametrize(("check", "tracker"), WRONG)
def test_only_the_check_for_it_fails(
    check: str, tracker: type[Tracker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "CALL_SECONDS", 0.2)
    assert failures(TrackerTests, tracker) == [check]
