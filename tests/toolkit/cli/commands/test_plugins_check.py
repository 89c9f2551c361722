"""A plugin that hangs or changes global state does no harm; `plugins check` says how it fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from versemill.plugins import registry
from versemill.plugins.registry import Registry
from versemill.testing.separate_process import check_in_own_process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

GOOD = """
from versemill.plugins.hookspecs import hookimpl

class Mine:
    carries_state = False
    covers_text = True

    def __init__(self, length, batch_size, window):
        self.B, self.T, self.count = batch_size, window, max(0, length - 1) // window
        self.steps = self.count // batch_size

    def starts(self, generator):
        import torch
        order = torch.randperm(self.count, generator=generator)
        return (order[: self.steps * self.B] * self.T).view(-1, self.B)

@hookimpl
def versemill_register_samplers(register):
    register("mine", ":Mine", summary="")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(tmp_path))
    return tmp_path / "mine.py"


def failing(plugin: Path, source: str, *, seconds: float = 60) -> list[dict[str, str]]:
    plugin.write_text(source)
    return [
        row for row in check_in_own_process("mine.py", seconds=seconds) if row["passed"] is not True
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.sleep(1000)",
        GOOD.replace("    register(", "    while True: pass\n    r("),
    ],
    ids=["import", "hook"],
)
def test_one_that_hangs_is_left_out(
    plugin: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(registry, "IMPORT_SECONDS", 0.2)
    plugin.write_text(source)
    found = Registry.discover()
    (left_out,) = found.disabled
    assert left_out.reason.startswith("it does not come to an end: stopped after 0.2 s at ")
    assert "mine.py, line" in left_out.reason
    assert found.has("cell", "lstm")


def test_an_implementation_that_hangs_is_told(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "IMPORT_SECONDS", 0.2)
    plugin.write_text(GOOD.replace(":Mine", "_slow:Mine"))
    (plugin.parent / "_slow.py").write_text("import time; time.sleep(1000)")
    target = Registry.discover().find("sampler", "mine")
    object.__setattr__(target, "target", "versemill_folder_plugins._slow:Mine")
    with pytest.raises(registry.PluginError, match=r"mine\.py .* does not come to an end"):
        target.load()


def test_a_good_one_passes_every_check(plugin: Path) -> None:
    plugin.write_text(GOOD)
    rows = check_in_own_process("mine.py")
    assert [row for row in rows if row["passed"] is not True] == []
    assert [rows[0]["kind"], rows[0]["check"]] == ["plugin", "isolation"]
    assert {row["name"] for row in rows[1:]} == {"mine"}
    assert json.loads(json.dumps(rows)) == rows


def test_a_check_that_hangs_is_told_and_where(plugin: Path) -> None:
    endless = GOOD.replace("        import torch\n", "        while True: pass\n")
    (row,) = failing(plugin, endless, seconds=2)
    assert (row["kind"], row["name"], row["check"]) == ("sampler", "mine", "end")
    assert row["what"].startswith("it does not come to an end: stopped after 2 s at File ")
    assert "mine.py" in row["what"]
    assert row["mend"]


def test_a_check_that_ends_the_process_is_told(plugin: Path) -> None:
    deadly = GOOD.replace("        import torch\n", "        import os; os._exit(3)\n")
    (row,) = failing(plugin, deadly)
    assert (row["name"], row["check"]) == ("mine", "end")
    assert row["what"] == "it ends the process that tries it (exit code 3)"


def test_prints_and_slow_calls_are_reported_beside_the_checks(plugin: Path) -> None:
    plugin.write_text("import torch; torch.manual_seed(1)\n" + GOOD)
    rows = check_in_own_process("mine.py")
    (row,) = [row for row in rows if row["passed"] is not True]
    assert (row["kind"], row["name"], row["check"]) == ("plugin", "mine.py", "isolation")
    assert row["what"].startswith("it changes torch's random state")
    assert len(rows) > 5  # the sampler's own checks went on
