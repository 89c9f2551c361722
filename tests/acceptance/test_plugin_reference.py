"""docs/plugins/ has every hook, contract, built-in and option; what is generated is up to date."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import TYPE_CHECKING

import click
import pytest

from documents import ROOT, read
from versemill.cli.program import program
from versemill.plugins import Registrar
from versemill.plugins.registry import KINDS, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "plugin_reference", ROOT / "scripts" / "plugin_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class TestGeneratedPages:
    def test_are_what_make_docs_writes(self, writer: ModuleType) -> None:
        assert writer.stale(writer.pages()) == [], "run `make docs` and commit what it writes"

    def test_do_not_change_with_the_version(self, writer: ModuleType) -> None:
        assert [p for p, text in writer.pages().items() if version("versemill") in text] == []

    def test_a_changed_docstring_is_found(self, writer: ModuleType) -> None:
        pages = writer.pages()
        pages["reference.md"] += "One hook more.\n"
        assert writer.stale(pages) == ["reference.md"]

    def test_a_new_and_a_removed_built_in_are_found(self, writer: ModuleType) -> None:
        pages = writer.pages()
        pages["built-in/cell-new.md"] = pages.pop("built-in/cell-gru.md")
        assert writer.stale(pages) == ["built-in/cell-gru.md", "built-in/cell-new.md"]

    def test_a_kind_is_one_hook(self, writer: ModuleType) -> None:
        assert sorted(map(writer.plural, KINDS)) == sorted(
            name.removeprefix("versemill_register_") for name in writer.hooks()
        )

    def test_every_module_of_a_contract_is_there(self, writer: ModuleType) -> None:
        page = read("docs/plugins/reference.md")
        assert len(writer.contract_modules()) > 1
        assert all(f"## {module.__name__}\n" in page for module in writer.contract_modules())


class TestHooks:
    @pytest.mark.parametrize("kind", KINDS)
    def test_each_has_a_tutorial(self, writer: ModuleType, kind: str) -> None:
        page = f"{writer.plural(kind)}.md"
        assert f"def versemill_register_{writer.plural(kind)}(register" in read(
            f"docs/plugins/{page}"
        )
        assert f"]({page})" in read("docs/plugins/README.md")

    def test_every_argument_is_described(self) -> None:
        assert undescribed(Registrar.__call__) == []

    def test_one_that_is_not_is_found(self) -> None:
        def hook(register: object, more: object) -> None:
            """Does.

            Args:
                register: takes.
            """

        assert undescribed(hook) == ["more"]


class TestOptionsOfBuiltIns:
    def test_every_one_is_described(self) -> None:
        offered = Registry.discover().all()
        ours = {r.options for r in offered if r.distribution == "versemill"}
        assert [name for options in ours for name in undescribed(options)] == []

    def test_one_that_is_not_is_found(self) -> None:
        @dataclass(frozen=True, kw_only=True)
        class Forgetful:
            """Options.

            Attributes:
                first: is described.
            """

            first: int = 1
            second: int = 2

        assert undescribed(Forgetful) == ["second"]


class TestHelpOfCommands:
    def test_every_command_and_option_has_it(self) -> None:
        assert list(without_help(program, "versemill")) == []

    def test_one_without_is_found(self) -> None:
        @click.command()
        @click.option("--told", help="Is told.")
        @click.option("--untold")
        def mute(message: str, untold: str) -> None: ...

        assert list(without_help(mute, "mute")) == ["mute", "mute --untold"]


def undescribed(thing: object) -> list[str]:
    """Parameters of a function, or fields of options, that its docstring does not describe."""
    if isinstance(thing, type):
        names = [field.name for field in fields(thing)]
    else:
        names = [name for name in inspect.signature(thing).parameters if name != "self"]  # type: ignore[arg-type]
    message = inspect.getdoc(thing) or ""
    return [name for name in names if f"\n    {name}: " not in message]


def without_help(command: click.Command, path: str) -> Iterator[str]:
    """Commands and options that `--help` says nothing about."""
    if not command.help:
        yield path
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not (parameter.help or parameter.hidden):
            yield f"{path} {parameter.opts[0]}"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from without_help(inner, f"{path} {name}")
