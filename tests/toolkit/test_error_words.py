"""Nothing below the interfaces speaks of commands; every reason is in the tree of errors."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import versemill
from versemill.errors import VersemillError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(versemill.__file__).parent
COMMAND = re.compile(r"`versemill |(?<![\w-])--[a-z]|`pip ")
STARTS_PROCESSES = {
    "jobs/service/local_worker.py": {"--only", "--end-with-parent", "--devices"},
    "text/formats.py": {"save it as plain text, or `soffice --headless --convert-to txt:Text {}`"},
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("cli/"):
            yield name, ast.parse(path.read_text())


def strings(tree: ast.Module) -> Iterator[str]:
    """Every string that is no docstring: those stand alone."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def errors(of: type[VersemillError] = VersemillError) -> Iterator[type[VersemillError]]:
    yield of
    for error in of.__subclasses__():
        yield from errors(error)


def test_no_string_below_the_interfaces_names_a_command_or_an_option() -> None:
    found = {
        (name, text)
        for name, tree in modules()
        for text in strings(tree)
        if COMMAND.search(text) and text not in STARTS_PROCESSES.get(name, ())
    }
    assert found == set()


def test_every_reason_given_is_declared() -> None:
    declared = {error.__name__: set(error.reasons) for error in errors()}
    for name, tree in modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            for given in node.keywords:
                if given.arg == "reason" and node.func.id in declared:
                    reasons = {
                        c.value for c in ast.walk(given.value) if isinstance(c, ast.Constant)
                    }
                    reasons = {r for r in reasons if isinstance(r, str) and r not in {"", "; "}}
                    assert reasons <= declared[node.func.id], name


def test_codes_are_unique() -> None:
    codes = [error.code for error in errors()]
    assert len(set(codes)) == len(codes)


def test_an_error_as_json_has_its_data() -> None:
    from versemill.errors import JobStateError

    error = JobStateError("it is running", reason="running", job_id=3)
    assert error.to_json() == {
        "code": "job-state",
        "reason": "running",
        "message": "it is running",
        "attributes": {"job_id": 3},
    }
