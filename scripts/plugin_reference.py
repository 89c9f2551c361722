"""Writes what docs/plugins/ says of hooks, contracts and built-ins, from their docstrings.

`make docs` runs it. It goes by the registry and the hook specs and lists no kind by name, so that
a new kind or built-in needs a new run and nothing else.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from versemill import plugins, testing
from versemill.plugins import hookspecs
from versemill.plugins.registry import KINDS, Kind, Registration, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "docs" / "plugins"
_NOTE = "<!-- Written by `make docs` from the code's docstrings: change those, not this page. -->\n"
_SECTIONS = ("Args", "Attributes", "Raises")
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def pages() -> dict[str, str]:
    """Every generated page by its path in docs/plugins/."""
    offered = [r for r in Registry.discover().all() if r.distribution == "versemill"]
    found = {f"built-in/{r.kind}-{r.name}.md": _built_in(r, offered) for r in offered}
    return {"reference.md": _reference(), "built-in/README.md": _index(offered), **found}


def stale(wanted: dict[str, str]) -> list[str]:
    """Pages whose committed text differs, that are missing, or that nothing stands for any more."""
    there = {f"built-in/{path.name}" for path in (PLACE / "built-in").glob("*.md")}
    old = [name for name, text in wanted.items() if _text_of(PLACE / name) != text]
    return sorted({*old, *(there - set(wanted))})


def hooks() -> dict[str, Any]:
    """The hook specifications by name, in the order of the source."""
    found = vars(hookspecs).items()
    return {name: value for name, value in found if hasattr(value, f"{hookspecs.PROJECT}_spec")}


def plural(kind: Kind) -> str:
    """What hook and page of a kind are called."""
    (found,) = (
        name.removeprefix("versemill_register_")
        for name in hooks()
        if name.removeprefix("versemill_register_")[:4] == kind[:4]
    )
    return found


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


# Built-ins


def _index(offered: list[Registration]) -> str:
    parts = ["# What Versemill brings along\n", _NOTE]
    for kind in KINDS:
        parts.append(f"## {kind}\n\n| name | what it is |\n|---|---|")
        parts += [
            f"| [{r.name}]({kind}-{r.name}.md) | {r.summary} |" for r in offered if r.kind == kind
        ]
        parts.append("")
    return "\n".join(parts)


def _built_in(registration: Registration, offered: list[Registration]) -> str:
    kind, name = registration.kind, registration.name
    module_name, _, attribute = registration.target.partition(":")
    module = importlib.import_module(module_name)
    alone = [r.target.partition(":")[0] for r in offered].count(module_name) == 1
    own = _markdown(inspect.getdoc(getattr(module, attribute)) or "")
    source = Path(inspect.getfile(module)).resolve().relative_to(ROOT)
    parts = [
        f"# {kind} `{name}`\n",
        _NOTE,
        f"{registration.summary[0].upper()}{registration.summary[1:]}.\n",
        f"{_use(registration)}\n",
        "## Options\n",
        _options(registration.options),
        "## How it works\n",
        *([_markdown(inspect.getdoc(module) or "")] if alone else []),
        own,
        "## Where it is\n",
        f"[`{registration.target}`](../../../{source.as_posix()}), part of "
        f"{registration.distribution}.\n",
        f"[All built-ins](README.md) · [a {kind} of your own](../{plural(kind)}.md)\n",
    ]
    return "\n".join(parts)


def _use(registration: Registration) -> str:
    kind, name = registration.kind, registration.name
    if kind == "decoder":
        return f'In a job: `decoders = ["{name}"]` in `[generation]`, alone or among other stages.'
    if kind == "tracker":
        return f'In a job: `trackers = ["{name}"]`, or `--track {name}`.'
    return f'In a job: `{kind} = "{name}"`; its options stand in `[{kind}_options]`.'


def _options(options: type) -> str:
    known = fields(options)
    if not known:
        return "None.\n"
    hints = get_type_hints(options, include_extras=True)
    told = _described(inspect.getdoc(options) or "", "Attributes")
    rows = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for field in known:
        default = "needed" if field.default is MISSING else _toml(field.default)
        rows.append(
            f"| `{field.name}` | {values_of(hints[field.name])} | {default} "
            f"| {told.get(field.name, '')} |"
        )
    return "\n".join([*rows, ""])


def values_of(hint: Any) -> str:
    """What an option may be, in words: `int, above 0`."""
    if get_origin(hint) is Annotated:
        base, *bounds = get_args(hint)
        limits = [
            f"{word} {getattr(bound, key)}"
            for bound in bounds
            for key, word in _BOUNDS.items()
            if hasattr(bound, key)
        ]
        return ", ".join([values_of(base), *limits])
    if get_origin(hint) is Literal:
        return " or ".join(_toml(value) for value in get_args(hint))
    inner = [values_of(part) for part in get_args(hint) if part is not type(None)]
    if type(None) in get_args(hint):
        return f"{' or '.join(inner)}, or left out"
    return f"`{getattr(hint, '__name__', hint)}`" if not inner else f"`{hint}`"


def _toml(value: object) -> str:
    return "–" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


# Hooks and contracts


def _reference() -> str:
    parts = ["# Reference: hooks, contracts, checks\n", _NOTE, _markdown(_doc(plugins))]
    parts += [
        f"It offers {', '.join(f'`{name}`' for name in plugins.__all__)}.\n",
        _markdown(_doc(hookspecs)),
    ]
    parts.append("## Hooks\n")
    for node in _tree(hookspecs).body:
        if isinstance(node, ast.FunctionDef) and node.name in hooks():
            parts += [f"### {node.name}\n", _fenced(_signature(node)), _prose(node)]
    parts += ["## What hooks are given\n", *_classes(hookspecs)]
    for module in contract_modules():
        parts += [f"## {module.__name__}\n", _markdown(_doc(module)), *_aliases(module)]
        parts += _classes(module)
    parts.append("## Conformance checks\n")
    for suite in testing.__all__:
        parts += _checks(getattr(testing, suite))
    return "\n".join(parts)


def contract_modules() -> list[ModuleType]:
    """The modules that define what `versemill.plugins` offers, hooks and errors aside."""
    offered = (getattr(plugins, name) for name in plugins.__all__)
    names = dict.fromkeys(getattr(thing, "__module__", "") for thing in offered)
    aside = {hookspecs.__name__, "versemill.errors", "versemill.config.validation"}
    return [
        importlib.import_module(n) for n in names if n.startswith("versemill.") and n not in aside
    ]


def _classes(module: ModuleType) -> Iterator[str]:
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name in plugins.__all__:
            yield f"### {node.name}\n"
            yield _prose(node)
            yield from _members(node)


def _members(owner: ast.ClassDef) -> Iterator[str]:
    for node, after in zip(owner.body, [*owner.body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign) and _is_text(after):
            yield f"`{ast.unparse(node)}`: {_cleaned(after)}\n"
        public = isinstance(node, ast.FunctionDef) and (
            node.name == "__call__" or not node.name.startswith("_")
        )
        if public and isinstance(node, ast.FunctionDef):
            yield _fenced(_signature(node))
            yield _prose(node)


def _aliases(module: ModuleType) -> Iterator[str]:
    body = _tree(module).body
    for node, after in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.AnnAssign) and _is_text(after):
            yield f"`{ast.unparse(node)}`: {_cleaned(after)}\n"


def _checks(suite: type) -> Iterator[str]:
    yield f"### {suite.__name__}\n\n{_markdown(_doc(suite))}\n| check | what holds |\n|---|---|"
    for name in (n for n in vars(suite) if n.startswith("test_")):
        first = _doc(getattr(suite, name)).partition("\n\n")[0].replace("\n", " ")
        yield f"| `{name}` | {first} |"
    yield ""


def _signature(node: ast.FunctionDef) -> str:
    marks = "".join(f"@{ast.unparse(mark)}\n" for mark in node.decorator_list)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"def {node.name}({ast.unparse(node.args)}){returns}"
    return marks + line


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _cleaned(node: Any) -> str:
    return inspect.cleandoc(node.value.value).replace("\n", " ")


# Docstrings


def _doc(thing: object) -> str:
    return inspect.getdoc(thing) or ""


def _prose(thing: object) -> str:
    text = ast.get_docstring(thing) if isinstance(thing, ast.AST) else _doc(thing)  # type: ignore[arg-type]
    return _markdown(text or "")


def _markdown(doc: str) -> str:
    """A Google docstring as Markdown: its lists become lists, the rest stands as it is."""
    lines: list[str] = []
    title = ""
    for line in doc.splitlines():
        heading = re.fullmatch(r"(Args|Attributes|Raises|Returns):", line)
        title = heading[1] if heading else "" if line and not line.startswith(" ") else title
        item = re.match(r" {4}(\w+): (.*)", line)
        if heading:
            lines += [f"*{title}*", ""]
        elif title in _SECTIONS and item:
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif title in _SECTIONS:
            lines.append(line[6:])
        else:
            lines.append(line[4:] if title else line)
    return "\n".join([*lines, ""]) if lines else ""


def _described(doc: str, title: str) -> dict[str, str]:
    """The items of one list of a Google docstring."""
    _, _, rest = doc.partition(f"{title}:\n")
    items = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", rest, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in items}


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```\n"


def main() -> int:
    """Writes the pages; with `--check` only says which are stale."""
    wanted = pages()
    outdated = stale(wanted)
    if "--check" in sys.argv[1:]:
        print("\n".join(outdated))  # noqa: T201 - what this command is for
        return 1 if outdated else 0
    for name in outdated:
        path = PLACE / name
        path.unlink(missing_ok=True)
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
