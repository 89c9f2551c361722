"""Whose code raised, by the traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from versemill.plugins.attribution import culprit
from versemill.plugins.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

TWO = """
from versemill.plugins import hookimpl

@hookimpl
def versemill_register_samplers(register):
    register("one", ":One", summary="")
    register("two", ":Two", summary="")

class One:
    def starts(self, generator):
        raise ValueError("one")

class Two:
    def starts(self, generator):
        raise ValueError("two")

    @staticmethod
    def called(what):
        what()
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    (tmp_path / "numbers.py").write_text(TWO)
    (tmp_path / "others.py").write_text(TWO.replace('"one"', '"three"').replace('"two"', '"four"'))
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(tmp_path))
    return Registry.discover()


def raised(what: object) -> BaseException:
    with pytest.raises((ValueError, TypeError)) as caught:
        what()  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize("name", ["one", "two", "three", "four"])
def test_the_class_that_was_running(registry: Registry, name: str) -> None:
    sampler = registry.find("sampler", name)
    found = culprit(raised(lambda: sampler.load()().starts(None)), registry)
    assert found == sampler
    assert found.label.startswith(f"sampler '{name}' of ")


def test_a_call_that_never_got_to_run(registry: Registry) -> None:
    two = registry.find("sampler", "two")
    assert culprit(raised(lambda: two.load()().starts()), registry).name in {"two", "four"}  # type: ignore[union-attr]


def test_nobody_else(registry: Registry) -> None:
    assert culprit(raised(lambda: int("x")), registry) is None


def test_a_third_party_plugin_goes_before_a_built_in_that_it_called(registry: Registry) -> None:
    two = registry.find("sampler", "two")
    rnn = registry.find("cell", "rnn")
    wrong = lambda: rnn.load()(3, 4, nonlinearity="tanh").recur(None, None)  # noqa: E731
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever torch says
        two.load().called(wrong)
    assert culprit(caught.value, registry) == two
    with pytest.raises(Exception) as caught:  # noqa: PT011
        wrong()
    assert culprit(caught.value, registry) == rnn
