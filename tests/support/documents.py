"""What the documents say, taken apart so that tests can hold it against the code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands after the fence.
        section: the heading it is under.
    """

    language: str
    section: str
    content: str

    @property
    def commands(self) -> list[str]:
        """One shell command each; a line that ends in a backslash goes on in the next."""
        return [c for c in self.content.replace("\\\n", " ").splitlines() if c.strip()]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    return [
        Block(found[1], _heading_before(text, found.start()), found[2])
        for found in _FENCE.finditer(text)
    ]


def section(text: str, title: str) -> str:
    """What stands under one heading, up to the next one of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found is not None, f"no heading {title!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[tuple[str, ...]]:
    """Cells of every table row, heads and rules left out."""
    lines = text.splitlines()
    found = []
    for before, line in zip(["", *lines], lines, strict=False):
        if not line.startswith("|") or set(line) <= set("|-: ") or not before.startswith("|"):
            continue
        found.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
    return found


def links(text: str) -> list[str]:
    """Targets of relative links."""
    return [target for target in _LINK.findall(text) if "://" not in target]


def _heading_before(text: str, position: int) -> str:
    without_code = _FENCE.sub(lambda found: " " * len(found[0]), text[:position])
    headings = _HEADING.findall(without_code)
    return headings[-1] if headings else ""
