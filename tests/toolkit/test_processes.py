"""No Python process of the product, or of its drill, takes modules from the present folder."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from versemill.processes import code_command, module_command

ROOT = Path(__file__).parents[2]
FOLDERS = ["toolkit", "workers", "plugins", "alembic", "tests/drill"]
NAMERS = {"executable", "_base_executable", "get_executable", "set_executable"}
"""Attributes that name an interpreter."""
ALLOWED = {
    "toolkit/versemill/processes.py",
    "workers/versemill_workers/__main__.py",
    "workers/versemill_workers/trainer/provenance.py",
}
"""The one function that names it, a worker that restarts itself with -P, a record of versions."""


def interpreters(source: str) -> list[int]:
    """Lines of a source text that name a Python interpreter."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Attribute) and node.attr in NAMERS)
        or (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"(/usr/bin/env )?([\w/]*/)?python[\d.]*", node.value)
        )
    ]


def test_a_command_has_the_option_before_what_it_runs() -> None:
    assert code_command("pass", "c") == [sys.executable, "-P", "-c", "pass", "c"]
    assert module_command("a.b", "c") == [sys.executable, "-P", "-m", "a.b", "c"]


def test_only_one_function_names_an_interpreter() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if interpreters(path.read_text(encoding="utf-8"))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "run([sys.executable, '-m', 'x'])",
        "run(['python3', '-m', 'x'])",
        "run(('/usr/bin/python3.11', 'x'))",
        "spawn.get_executable()",
    ],
)
def test_the_search_finds_it(source: str) -> None:
    assert interpreters(source) == [1]
