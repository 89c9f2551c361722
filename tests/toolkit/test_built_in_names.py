"""No built-in's name in the core, recipes excepted: what it wants to know of one, it asks it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import versemill_plugins
from documents import ROOT
from versemill.plugins.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = "|".join(re.escape(r.name) for r in Registry([versemill_plugins]).all())
NAMED = re.compile(rf"({NAMES})([=:].*)?", re.DOTALL)  # also as `NAME=VALUE`, the way of decoders
RECIPES = ROOT / "toolkit/versemill/config/recipes.py"


def core() -> Iterator[Path]:
    """Everything but the command line, whose help names some, and the recipes."""
    for root in ("toolkit/versemill", "workers/versemill_workers"):
        for path in sorted((ROOT / root).rglob("*.py")):
            if "cli" not in path.relative_to(ROOT).parts and path != RECIPES:
                yield path


def named_in(source: str) -> list[str]:
    """Texts in a module's code that are the name of a built-in."""
    return [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and NAMED.fullmatch(node.value)
    ]


def test_the_core_names_no_built_in() -> None:
    paths = list(core())
    assert len(paths) > 80
    found = {str(path.relative_to(ROOT)): named_in(path.read_text("utf-8")) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_name_is_found() -> None:
    assert named_in('gates = {"gru": 3}\nchain = ("temperature=0.8",)') == [
        "gru",
        "temperature=0.8",
    ]
    assert named_in(RECIPES.read_text("utf-8"))
