from __future__ import annotations

import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import versemill_plugins
from versemill.errors import PluginError, UnknownNameError
from versemill.hookspecs import hookimpl
from versemill.registry import KINDS, Registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TARGET = "collections:OrderedDict"


@dataclass(frozen=True, kw_only=True)
class Options:
    depth: int = 1


def plugin(
    body: Callable[[Any], None],
    *,
    name: str = "stranger",
    hook: str = "versemill_register_cells",
) -> types.ModuleType:
    """A module with one hook, whose implementation is `body`."""
    module = types.ModuleType(name)

    def implementation(register: Any) -> None:
        body(register)

    implementation.__name__ = hook
    setattr(module, hook, hookimpl(implementation))
    return module


def offering(name: str, **changes: Any) -> types.ModuleType:
    settings = {"target": TARGET, "summary": "a cell", **changes}
    target = settings.pop("target")
    return plugin(lambda register: register(name, target, **settings), name=f"offers-{name}")


def reason(module: object) -> str:
    """Why the registry left a plugin out, between two that are fine."""
    registry = Registry([versemill_plugins, module, offering("after")])
    assert [d.distribution for d in registry.disabled] == [module.__name__]
    assert registry.has("cell", "gru")
    assert registry.has("cell", "after")
    return registry.disabled[0].reason


def test_a_plugin_is_found_by_kind_and_name() -> None:
    registry = Registry([offering("fancy", options=Options)])
    found = registry.find("cell", "fancy")
    assert (found.name, found.summary, found.distribution) == ("fancy", "a cell", "offers-fancy")
    assert found.load().__name__ == "OrderedDict"
    assert found.validate({}) == {"depth": 1}
    assert registry.disabled == []


def test_the_built_ins_come_through_the_same_door() -> None:
    registry = Registry([versemill_plugins])
    assert registry.disabled == []
    for registration in registry.all():
        assert callable(registration.load()), registration.name


def test_everything_is_listed_by_kind_then_name() -> None:
    listed = [(KINDS.index(r.kind), r.name) for r in Registry([versemill_plugins]).all()]
    assert listed == sorted(listed)
    assert len(listed) == 3 + 1 + 2 + 3 + 5


def test_an_unknown_name_lists_what_is_known() -> None:
    with pytest.raises(UnknownNameError, match="known: gru, lstm, rnn; did you mean 'lstm'"):
        Registry([versemill_plugins]).find("cell", "lsmt")


def test_a_name_of_one_kind_says_nothing_of_another() -> None:
    assert not Registry([versemill_plugins]).has("sampler", "gru")


def test_a_hook_that_raises_disables_its_plugin() -> None:
    def broken(register: Any) -> None:
        raise ZeroDivisionError("oh\nno")

    assert reason(plugin(broken)) == "ZeroDivisionError: oh no"


def test_a_hook_nobody_knows_disables_its_plugin() -> None:
    module = plugin(lambda register: None, hook="versemill_register_celsl")
    assert "versemill_register_celsl" in reason(module)


def test_a_hook_with_a_wrong_argument_disables_its_plugin() -> None:
    module = types.ModuleType("stranger")

    @hookimpl
    def versemill_register_cells(registrar: Any) -> None:
        pass

    module.versemill_register_cells = versemill_register_cells
    assert "registrar" in reason(module)


def test_a_taken_name_disables_the_latecomer() -> None:
    assert "'gru' is already registered by versemill_plugins" in reason(offering("gru"))


def test_a_name_offered_twice_disables_its_plugin() -> None:
    def twice(register: Any) -> None:
        register("one", TARGET, summary="")
        register("one", TARGET, summary="")

    assert "'one' is already registered by this very plugin" in reason(plugin(twice))


def test_a_plugin_is_taken_whole_or_not_at_all() -> None:
    def half(register: Any) -> None:
        register("good", TARGET, summary="")
        register("Bad name", TARGET, summary="")

    assert not Registry([plugin(half)]).has("cell", "good")


@pytest.mark.parametrize("name", ["", "Fancy", "a b", "-a", "ä", "a" * 65, 3, None])
def test_a_bad_name_disables_its_plugin(name: object) -> None:
    module = plugin(lambda register: register(name, TARGET, summary="a cell"))
    assert f"cell name {name!r} is not allowed" in reason(module)


@pytest.mark.parametrize("target", ["", "module", "module:", ":name", "a b:c", "m:a.b", 3])
def test_a_bad_target_disables_its_plugin(target: object) -> None:
    assert "is no 'module:attribute'" in reason(offering("fancy", target=target))


@pytest.mark.parametrize("summary", ["two\nlines", None, 3])
def test_a_bad_summary_disables_its_plugin(summary: object) -> None:
    assert "must be one line of text" in reason(offering("fancy", summary=summary))


def test_options_that_are_no_dataclass_disable_their_plugin() -> None:
    assert "must be a dataclass" in reason(offering("fancy", options=dict))


@pytest.mark.parametrize("target", ["no_such_module:Cell", "collections:NoSuchThing"])
def test_an_implementation_that_cannot_be_loaded_names_its_distribution(target: str) -> None:
    registry = Registry([offering("fancy", target=target)])
    with pytest.raises(PluginError, match="cell 'fancy' of offers-fancy 0 cannot be loaded"):
        registry.find("cell", "fancy").load()


def distribution(folder: Path, name: str, source: str) -> None:
    """An installed distribution with one plugin module."""
    (folder / f"{name}_module.py").write_text(source, encoding="utf-8")
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[versemill]\nmain = {name}_module\n")


GOOD = """
from versemill.hookspecs import hookimpl

@hookimpl
def versemill_register_cells(register):
    register("{name}", "{name}_module:Cell", summary="a stranger's cell")
"""


def test_discover_finds_installed_distributions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path, "aardvark", GOOD.format(name="aardvark"))
    distribution(tmp_path, "broken", "import no_such_module")
    distribution(tmp_path, "captor", GOOD.format(name="gru"))
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry.discover()
    assert registry.find("cell", "aardvark").record() == {
        "name": "aardvark",
        "distribution": "aardvark",
        "version": "1.2",
    }
    assert registry.find("cell", "gru").distribution == "versemill"
    reasons = {d.distribution: d.reason for d in registry.disabled}
    assert "import failed: ModuleNotFoundError" in reasons["broken"]
    assert "'gru' is already registered by versemill" in reasons["captor"]
