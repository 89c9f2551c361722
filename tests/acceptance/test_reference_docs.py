"""docs/ holds what the code holds: states, retries, rooms, settings, variables, commands."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from documents import ROOT, links, read, rows, section
from versemill import settings
from versemill.cli.program import program
from versemill.config.job import GenerationOptions, ModelOptions, TrainingOptions
from versemill.config.recipes import TOP_LEVEL
from versemill.jobs.states import RETRIES, TRANSITIONS
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.text.options import TextOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURE = read("docs/architecture.md")
CONFIGURATION = read("docs/configuration.md")
COMMANDS = read("docs/commands.md")
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md")))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    assert [target for target in links(read(page)) if not (folder / target).exists()] == []


class TestArchitecture:
    def test_states(self) -> None:
        documented = {(a, b): why for a, b, why in rows(section(ARCHITECTURE, "States"))}
        assert documented == {(a.value, b.value): why for (a, b), why in TRANSITIONS.items()}

    def test_retries(self) -> None:
        documented = {name: int(cap) for name, cap, _ in rows(section(ARCHITECTURE, "Failures"))}
        assert documented == {failure.value: policy.cap for failure, policy in RETRIES.items()}

    def test_the_layout_names_every_module(self) -> None:
        block = section(ARCHITECTURE, "The layout").split("```")[1]
        named = set(re.findall(r"\w+", block))
        assert {module for module in _modules() if module not in named} == set()

    def test_the_layout_names_no_module_that_is_gone(self) -> None:
        layout = section(ARCHITECTURE, "The layout")
        folders = re.findall(r"^ *([\w/]+)/ ", layout, re.MULTILINE)
        there = {path.name for path in ROOT.glob("*/**") if path.is_dir()}
        assert {folder.rpartition("/")[2] for folder in folders} - there == set()


def _modules() -> Iterator[str]:
    """Every module of toolkit and workers; commands, suites and plugins are told of as folders."""
    for root in ("toolkit/versemill", "workers/versemill_workers"):
        for path in (ROOT / root).rglob("*.py"):
            if path.stem[:2] != "__" and path.parent.name not in {"commands"}:
                yield path.stem


class TestConfiguration:
    def test_every_variable(self) -> None:
        source = Path(settings.__file__).read_text(encoding="utf-8")
        used = set(re.findall(r"\bVERSEMILL_[A-Z_]+[A-Z]\b", source))
        documented = {row[0].strip("`") for row in rows(section(CONFIGURATION, "Environment"))}
        assert documented == used

    def test_defaults_of_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        listed = {row[0].strip("`"): row[1] for row in rows(section(CONFIGURATION, "Environment"))}
        for variable in listed:
            monkeypatch.delenv(variable, raising=False)
        found = settings.Settings.from_environment()
        assert listed[settings.CORPUS_LIMIT] == f"`{found.corpus_limit // 1024**2}`"
        assert listed[settings.CHECKPOINT_SECONDS] == f"`{found.checkpoint_seconds}`"

    def test_top_level(self) -> None:
        registry = Registry.discover()
        configs = [resolve({"recipe": name}, registry) for name in ("default", "classic")]
        without_default = ("prefixes", "text")  # chosen from the corpus; a stored text
        expected = dict.fromkeys(without_default, ("–", "–")) | {
            key: tuple(_toml(getattr(config, key, None)) for config in configs)
            for key in TOP_LEVEL
            if key not in without_default
        }
        assert _recipe_columns("Top level") == expected

    @pytest.mark.parametrize(
        ("title", "name", "options"),
        [
            ("[corpus_options]", "text", TextOptions),
            ("[model]", "model", ModelOptions),
            ("[training]", "training", TrainingOptions),
            ("[generation]", "generation", GenerationOptions),
        ],
    )
    def test_sections(self, title: str, name: str, options: type) -> None:
        registry = Registry.discover()
        configs = [resolve({"recipe": recipe}, registry) for recipe in ("default", "classic")]
        parts = [getattr(config, name) for config in configs]
        expected = {
            f.name: tuple(_toml(getattr(p, f.name)) for p in parts) for f in fields(options)
        }
        assert _recipe_columns(title) == expected

    def test_plugin_options(self) -> None:
        documented = {row[:3] for row in rows(section(CONFIGURATION, "Options of plugins"))}
        assert documented == {
            (f"{offered.kind} `{offered.name}`", f"`{field.name}`", _toml(field.default))
            for offered in Registry.discover().all()
            if offered.distribution == "versemill"
            for field in fields(offered.options)
        }

    def test_exit_codes(self) -> None:
        from versemill.cli.exit_codes import FAILED, INTERRUPTED, USAGE

        listed = [row[0] for row in rows(section(CONFIGURATION, "Exit codes"))]
        assert listed == [f"`{code}`" for code in (0, FAILED, USAGE, INTERRUPTED)]


def _recipe_columns(title: str) -> dict[str, tuple[str, ...]]:
    return {row[0].strip("`"): row[1:3] for row in rows(section(CONFIGURATION, title))}


def _toml(value: object) -> str:
    """A value as the tables show it; what has none is a dash."""
    shown = list(value) if isinstance(value, tuple) else value
    return "–" if value is None else f"`{json.dumps(shown, ensure_ascii=False)}`"


class TestCommands:
    def test_every_command_has_its_line(self) -> None:
        documented = [row[0].strip("`") for row in rows(COMMANDS)]
        assert sorted(documented) == sorted(_commands(program, "versemill"))

    def test_every_option_named_is_there(self) -> None:
        for name, line in rows(COMMANDS):
            command = _find(name.strip("`").split()[1:])
            known = {option for p in command.params for option in p.opts}
            assert set(re.findall(r"(?<!\w)--?[a-z][a-z-]*", line)) <= known, name

    def test_the_page_has_the_sections_of_the_help(self) -> None:
        from versemill.cli.program import SECTIONS

        assert re.findall(r"^## (.+)$", COMMANDS, re.MULTILINE) == list(SECTIONS)


def _commands(group: click.Group, path: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield f"{path} {name}"


def _find(names: list[str]) -> click.Command:
    command: click.Command = program
    for name in names:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command
