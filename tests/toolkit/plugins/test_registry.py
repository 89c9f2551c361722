from __future__ import annotations

import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import versemill_plugins
from versemill.errors import ConfigError, PluginError, UnknownNameError
from versemill.plugins import hookimpl
from versemill.plugins.registry import KINDS, Registry

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = "versemill.plugins:Cell"


@dataclass(frozen=True, kw_only=True)
class Options:
    depth: int = 1


def plugin(
    body: Callable[[Any], object],
    *,
    name: str = "stranger",
    hook: str = "versemill_register_cells",
) -> types.ModuleType:
    """A module with one hook, whose implementation is `body`."""
    module = types.ModuleType(name)

    def implementation(register: Any) -> object:
        return body(register)

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
    assert found.load().__name__ == "Cell"
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
    assert len(listed) == 3 + 1 + 2 + 3 + 5 + 2


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


def test_a_plugin_without_hooks_is_disabled() -> None:
    module = types.ModuleType("stranger")
    module.versemill_register_cells = lambda register: None  # lacks the mark
    assert "it has no hook; put @versemill.plugins.hookimpl before" in reason(module)


@pytest.mark.parametrize(("returned", "named"), [([], "list"), (0, "int"), (False, "bool")])
def test_a_hook_that_returns_something_disables_its_plugin(returned: object, named: str) -> None:
    message = f"versemill_register_cells returned a {named}; it must return nothing"
    assert message in reason(plugin(lambda register: returned))


def test_a_hook_that_prints_disables_its_plugin(capfd: pytest.CaptureFixture[str]) -> None:
    assert "it prints in a hook: 'la la'" in reason(plugin(lambda register: print("la\nla")))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), BaseException("no")])
def test_whatever_a_hook_raises_disables_its_plugin(error: BaseException) -> None:
    def broken(register: Any) -> None:
        raise error

    assert reason(plugin(broken)).startswith(type(error).__name__)


def test_an_error_that_cannot_tell_what_it_is_disables_its_plugin() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def broken(register: Any) -> None:
        raise MuteError

    assert reason(plugin(broken)) == "MuteError"


def test_an_interrupt_is_not_taken_for_a_fault() -> None:
    def interrupted(register: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Registry([plugin(interrupted)])


def test_an_unknown_name_tells_of_disabled_plugins() -> None:
    registry = Registry([types.ModuleType("stranger")])
    with pytest.raises(UnknownNameError, match="1 plugin is disabled") as caught:
        registry.find("cell", "fancy")
    assert caught.value.reason == "disabled"


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


@pytest.mark.parametrize("target", ["", "module", "module:", ":", "a b:c", "m:a.b", 3])
def test_a_bad_target_disables_its_plugin(target: object) -> None:
    assert "is no 'module:attribute'" in reason(offering("fancy", target=target))


def test_a_target_without_a_module_is_in_the_plugins_own() -> None:
    registry = Registry([offering("fancy", target=":Cell")])
    assert registry.find("cell", "fancy").target == "offers-fancy:Cell"


@pytest.mark.parametrize("summary", ["two\nlines", "tab\t", "la\x1b[2J", "la\udce9", None, 3])
def test_a_bad_summary_disables_its_plugin(summary: object) -> None:
    assert "must be one line of text" in reason(offering("fancy", summary=summary))


def test_a_summary_is_brought_into_the_one_form() -> None:
    registry = Registry([offering("fancy", summary="cafe\u0301")])
    assert registry.find("cell", "fancy").summary == "café"


def test_a_revision_is_what_jobs_keep_and_else_the_version() -> None:
    registry = Registry([offering("fancy"), offering("steady", revision="1.2")])
    fancy, steady = (registry.find("cell", name) for name in ("fancy", "steady"))
    assert (fancy.version, fancy.record({}).version) == ("0", "0")
    assert (steady.version, steady.record({}).version) == ("0", "1.2")


@pytest.mark.parametrize("revision", ["", "first", "1.", "1.2rc1", "123456789012", "१", 1, 1.2])
def test_a_bad_revision_disables_its_plugin(revision: object) -> None:
    message = reason(offering("fancy", revision=revision))
    assert (
        message == f"revision {revision!r} of cell 'fancy' is not allowed: a version such as '1.2'"
    )


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    path: Path
    other: Path = Path("x")


def test_an_option_that_is_a_path_is_kept_as_written_and_given_as_a_path() -> None:
    offered = Registry([offering("fancy", options=PathOptions)]).find("cell", "fancy")
    kept = offered.validate({"path": "./Caf\u00e9//a"})
    assert kept == {"path": "./Caf\u00e9//a", "other": "x"}
    assert offered.options_from(kept) == PathOptions(path=Path("Caf\u00e9/a"))
    with pytest.raises(ConfigError, match="= 5 is not allowed: a text"):
        offered.validate({"path": 5})


def test_options_that_are_no_dataclass_disable_their_plugin() -> None:
    assert "must be a dataclass" in reason(offering("fancy", options=dict))


@pytest.mark.parametrize("target", ["no_such_module:Cell", "collections:NoSuchThing"])
def test_an_implementation_that_cannot_be_loaded_names_its_distribution(target: str) -> None:
    registry = Registry([offering("fancy", target=target)])
    with pytest.raises(PluginError, match="cell 'fancy' of offers-fancy 0 cannot be loaded"):
        registry.find("cell", "fancy").load()


class Sampler:
    def starts(self, generator: object) -> None: ...


def function() -> None: ...


@pytest.mark.parametrize(
    ("hook", "attribute", "message"),
    [
        ("cells", "OrderedDict", "OrderedDict must be a subclass of versemill.plugins.Cell"),
        ("cells", "function", "function must be a class, since it is a cell"),
        ("samplers", "Options", "Options has no starts, which every sampler needs"),
        ("tokenizers", "Sampler", "Sampler has no train, from_json, to_json, encode, decode"),
        ("decoders", "Sampler", "Sampler has no __call__, which every decoder needs"),
        ("corpora", "TARGET", "TARGET must be a function that returns a Text"),
    ],
)
def test_an_implementation_of_the_wrong_kind_is_refused(
    hook: str, attribute: str, message: str
) -> None:
    module = "collections" if attribute == "OrderedDict" else __name__
    registry = Registry(
        [
            plugin(
                lambda register: register("fancy", f"{module}:{attribute}", summary=""),
                hook=f"versemill_register_{hook}",
            )
        ]
    )
    (offered,) = registry.all()
    with pytest.raises(PluginError, match=f"'fancy' of stranger 0 cannot be loaded: {message}"):
        offered.load()


def distribution(folder: Path, name: str, source: str) -> None:
    """An installed distribution with one plugin module."""
    (folder / f"{name}_module.py").write_text(source, encoding="utf-8")
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[versemill]\nmain = {name}_module\n")


GOOD = """
from versemill.plugins import hookimpl

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
    assert registry.find("cell", "aardvark").record({"beak": 3}).to_json() == {
        "kind": "cell",
        "name": "aardvark",
        "distribution": "aardvark",
        "version": "1.2",
        "options": {"beak": 3},
    }
    assert registry.find("cell", "gru").distribution == "versemill"
    reasons = {d.distribution: d.reason for d in registry.disabled}
    assert "import failed: ModuleNotFoundError" in reasons["broken"]
    assert "install what provides 'no_such_module'" in reasons["broken"]
    assert "'gru' is already registered by versemill" in reasons["captor"]
    assert not Registry.discover(without={"aardvark"}).has("cell", "aardvark")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise SystemExit(3)", "import failed: SystemExit: 3"),
        ("print('la la')", "it prints when it is imported: 'la la'"),
        ("def half(:", "import failed: SyntaxError"),
        ("", "it has no hook"),
    ],
)
def test_a_module_that_is_no_plugin_is_named_and_stops_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    source: str,
    message: str,
) -> None:
    name = f"broken{abs(hash(source))}"
    distribution(tmp_path, name, source)
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry.discover()
    assert registry.has("cell", "gru")
    (left_out,) = registry.disabled
    assert (left_out.distribution, left_out.version) == (name, "1.2")
    assert message in left_out.reason
    assert capfd.readouterr().out == ""


def test_a_distribution_with_a_module_of_pythons_own_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path, "shadow", "")
    (tmp_path / "shadow-1.2.dist-info" / "entry_points.txt").write_text("[versemill]\na = json\n")
    monkeypatch.syspath_prepend(tmp_path)
    (left_out,) = Registry.discover().disabled
    assert "'json' is named like one of Python's own" in left_out.reason


def test_a_distribution_without_metadata_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path, "nameless", GOOD.format(name="nameless"))
    (tmp_path / "nameless-1.2.dist-info" / "METADATA").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert Registry.discover().find("cell", "nameless").version == "unknown"


@pytest.mark.parametrize("stage", ["last", 3, ["choice"]])
def test_a_stage_that_is_none_is_refused(stage: object) -> None:
    odd = plugin(
        lambda register: register("odd", TARGET, summary="odd", stage=stage),
        hook="versemill_register_decoders",
    )
    assert f"stage {stage!r} of decoder 'odd' is not allowed: one of penalty" in reason(odd)


def test_only_decoders_have_stages() -> None:
    assert "only decoders" in reason(offering("staged", stage="choice"))
