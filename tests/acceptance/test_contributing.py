"""CONTRIBUTING.md names places that exist, or says that they are to come."""

from __future__ import annotations

import re

import pytest

from documents import ROOT, read, rows, section

ROWS = rows(section(read("CONTRIBUTING.md"), "Where a feature lives"))
PATHS = re.compile(r"`([\w./-]+)`( \(to come\))?")
FEATURES = ("a cell", "a lyric form", "a scheduling rule", "a server endpoint", "a GPU kernel")
STEPS = ("a migration", "a command")


@pytest.mark.parametrize("row", [row for row in ROWS if len(row) == 3], ids=lambda row: row[0])
def test_every_path_exists_unless_it_is_to_come(row: tuple[str, ...]) -> None:
    _, places, tests = row
    found = PATHS.findall(f"{places} {tests}")
    assert found
    wrong = [path for path, to_come in found if (ROOT / path).exists() == bool(to_come)]
    assert wrong == []


@pytest.mark.parametrize("feature", FEATURES + STEPS)
def test_the_table_says_where_it_goes(feature: str) -> None:
    assert any(row[0].startswith(feature) for row in ROWS)
