"""docs/plugins/ does what it says: each tutorial is followed in an empty folder, block by block."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

import pytest

from documents import ROOT, Block, blocks, links, read
from readers import Reader
from versemill.plugins.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.plugins.registry import Kind

PLACE = ROOT / "docs" / "plugins"
TUTORIALS = sorted(path.name for path in PLACE.glob("*.md") if path.name != "reference.md")
SHOWN = ("text", "console", "toml")  # what is printed; what test_third_party.py follows


class Author(Reader):
    """Writes each Python block into the file that its first line names, and enters commands."""

    def follow(self, block: Block) -> None:
        if block.language != "python":
            super().follow(block)
            return
        named = re.match(r"# (\S+\.py)\n", block.content)
        assert named is not None, f"a block under {block.section!r} names no file"
        (self.folder / named[1]).write_text(block.content, encoding="utf-8")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in TUTORIALS if name != "README.md"])
def test_every_block_runs(name: str, tmp_path: Path, newcomer: dict[str, str]) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "mine").mkdir()
    with ExitStack() as terminals:
        author = Author(folder, newcomer, terminals)
        for block in blocks(read(f"docs/plugins/{name}")):
            if block.language not in SHOWN:
                author.follow(block)
    trained = [command for command in author.printed if command.startswith("versemill run")]
    assert trained
    assert all("after '" in author.printed[command] for command in trained)  # lyrics

    if name == "tokenizers.md":
        compare_figures(author.printed["versemill jobs"])


def compare_figures(listing: str) -> None:
    """The figures of jobs with and without pairs are of the same kind."""
    figures = [
        [float(figure) for figure in re.findall(r"\d+\.\d+", line)[:2]]
        for line in listing.splitlines()
        if "双字" in line or "单字" in line
    ]
    (one, other) = figures
    assert all(1 / 2 < a / b < 2 for a, b in zip(one, other, strict=True)), listing


def test_what_is_shown_and_not_run() -> None:
    console = [
        b.commands
        for name in TUTORIALS
        for b in blocks(read(f"docs/plugins/{name}"))
        if b.language == "console"
    ]
    assert console == [
        [
            "$ versemill plugins new cell mycell && cd mycell && pip install -e . && pytest",
            "$ versemill run --cell mycell --corpus starter-zh",
        ]
    ]


def test_built_ins_are_shown_as_messages_name_them() -> None:
    text = "".join(read(f"docs/plugins/{name}") for name in TUTORIALS)
    named = re.findall(r"(\w+) '([\w-]+)' of versemill (\S+)", text)
    registry = Registry.discover()
    labels = [registry.find(cast("Kind", kind), name).label for kind, name, _ in named]
    assert labels == [f"{kind} '{name}' of versemill {version}" for kind, name, version in named]
    assert labels


@pytest.mark.parametrize("page", sorted(PLACE.rglob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [to for to in links(page.read_text("utf-8")) if not (page.parent / to).exists()]
    assert missing == []
