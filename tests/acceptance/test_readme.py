"""README does what it says: its commands are run in order, in a data directory of their own."""

from __future__ import annotations

import json
import re
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from documents import ROOT, blocks, links, read
from readers import QUICK_START, Reader
from versemill.plugins import NoOptions
from versemill_plugins.corpora.starter import english

if TYPE_CHECKING:
    from pathlib import Path

README = read("README.md")
EXAMPLE_URL = "postgresql://versemill@localhost/versemill"


@pytest.mark.timeout(600)  # a minute on an idle machine
def test_every_block_runs(
    tmp_path: Path, newcomer: dict[str, str], empty_postgres_url: str
) -> None:
    assert README.count(EXAMPLE_URL) == 1
    readme = README.replace(EXAMPLE_URL, empty_postgres_url)
    poems = "\n---\n".join(english(NoOptions()).songs)
    (tmp_path / "poems.txt").write_text(poems, encoding="utf-8")
    began = time.monotonic()
    with ExitStack() as terminals:
        reader = Reader(tmp_path, newcomer, terminals)
        for block in blocks(readme):
            if block.language != "text":  # what commands print
                reader.follow(block)
        jobs = json.loads(reader.run("versemill", "jobs", "--json"))
        del reader.environment["VERSEMILL_DATABASE_URL"]
        alone = json.loads(reader.run("versemill", "jobs", "--json"))
    print(f"README took {time.monotonic() - began:.0f} s")

    assert [(job["name"], job["state"]) for job in jobs] == [
        ("春歌", "succeeded"),
        ("tavern", "succeeded"),
    ]
    assert {job["name"]: job["state"] for job in alone}["tavern"] == "succeeded"
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "tavern.safetensors").stat().st_size > 0
    assert reader.printed["python"].startswith("The moon")
    written = reader.printed["versemill generate 春歌 --prefix 春天 --lines 8 --seed 7"]
    assert written.startswith("春天")
    add, run = next(b for b in blocks(README) if b.section == "Your own corpus").commands[:2]
    assert "66 songs, read as UTF-8" in reader.printed[add]
    assert "after 'The ':\n    The " in reader.printed[run]


def test_every_block_is_of_a_known_kind() -> None:
    assert {block.language for block in blocks(README)} == {"sh", "toml", "python", "text"}
    assert README.count("```") == 2 * len(blocks(README))


def test_there_is_one_job_file_and_it_is_complete() -> None:
    assert [block.language for block in blocks(README)].count("toml") == 1


class TestQuickStart:
    def test_is_two_commands_in_both_languages(self) -> None:
        starts = [b for b in blocks(README) if b.commands[0].startswith("make ")]
        assert [b.section for b in starts] == ["Quick start", "中文简介"]
        assert all(b.commands == QUICK_START for b in starts)

    def test_is_what_make_offers(self) -> None:
        recipes = dict(re.findall(r"^(\w+):.*\n\t@?(.+)", read("Makefile"), re.MULTILINE))
        assert recipes["demo"] == "$(BIN)/versemill demo"
        assert "pytest" in recipes["test"]

    def test_is_what_ci_calls(self) -> None:
        commands = [
            line for line in read(".ci/run").splitlines() if line and not line.startswith("#")
        ]
        assert commands[-1] == "make test"


def test_links_lead_somewhere() -> None:
    assert [target for target in links(README) if not (ROOT / target).exists()] == []


def test_every_folder_has_its_line() -> None:
    listed = set(re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE))
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False
    )
    if tracked.returncode == 0:
        there = {line.split("/")[0] for line in tracked.stdout.splitlines() if "/" in line}
    else:  # a source archive
        there = {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert listed >= {name for name in there if name[0] != "." and name not in {"dist", "build"}}
    assert all((ROOT / name).is_dir() for name in listed)
