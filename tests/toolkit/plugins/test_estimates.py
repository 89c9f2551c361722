"""What is believed of a plugin's estimate: nothing that could refuse a job wrongly."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import pytest

from third_party_plugins import third_party
from versemill.errors import PluginError
from versemill.plugins import CellSize, NoOptions, TokenizerBounds
from versemill.plugins.estimates import asked, cell_size, shortest_text, tokenizer_bounds
from versemill.plugins.registry import Registry
from versemill.plugins.selection import Selected

SIZE = CellSize(parameters=7, activations=3, output_size=2)
NOTHING = CellSize(parameters=0, activations=0, output_size=0)


@dataclass(frozen=True, kw_only=True)
class Deep:
    depth: int = 2


def offered(kind: Any, estimate: object, **options: Any) -> Selected:
    given = {"options": Deep} if options else {}
    registry = Registry([third_party(kind, "x", estimate=estimate, **given)])
    assert registry.disabled == []
    return Selected(registration=registry.find(kind, "x"), options=options)


def raises(*arguments: object) -> None:
    raise ZeroDivisionError("by\nnothing")


def loops(*arguments: object) -> None:
    time.sleep(60)


def test_each_kind_is_asked_with_its_settings_and_options() -> None:
    heard: list[object] = []

    def answering(answer: object) -> Any:
        return lambda *arguments: heard.append(arguments) or answer

    bounds = TokenizerBounds(tokens_at_least=4, ids_at_most=9)
    assert cell_size(offered("cell", answering(SIZE), depth=3), 5, 6) == SIZE
    assert shortest_text(offered("sampler", answering(11)), 5, 6) == 11
    assert tokenizer_bounds(offered("tokenizer", answering(bounds), depth=4), "ab") == bounds
    assert heard == [(5, 6, Deep(depth=3)), (5, 6, NoOptions()), ("ab", Deep(depth=4))]


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (raises, r"cell 'x' of offers_x 0 failed: ZeroDivisionError: by nothing"),
        (loops, "failed: it does not come to an end: stopped after 0.05 s"),
        (lambda *_: 5, "returned 5; allowed: CellSize"),
        (lambda *_: None, "returned None"),
        (
            lambda *_: CellSize(parameters=-1, activations=0, output_size=1),
            "parameters=-1.*not neg",
        ),
        (lambda *_: CellSize(parameters=1.5, activations=0, output_size=1), "whole"),  # type: ignore[arg-type]
        (lambda *_: CellSize(parameters=True, activations=0, output_size=1), "whole"),
    ],
    ids=["raises", "loops", "other-type", "none", "negative", "fraction", "bool"],
)
def test_one_that_fails_counts_for_nothing(
    estimate: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("versemill.plugins.estimates.SECONDS", 0.05)
    cell = offered("cell", estimate)
    assert cell_size(cell, 5, 6) == NOTHING
    with pytest.raises(PluginError, match=said):
        asked(cell, CellSize, 5, 6)


def test_other_kinds_fall_back_as_well() -> None:
    assert shortest_text(offered("sampler", raises), 5, 6) == 7
    assert shortest_text(offered("sampler", lambda *_: -1), 5, 6) == 7
    assert tokenizer_bounds(offered("tokenizer", raises), "ab") is None


def test_without_one_nothing_is_said() -> None:
    cell = offered("cell", None)
    assert asked(cell, CellSize, 5, 6) is None
    assert cell_size(cell, 5, 6) == NOTHING
    assert shortest_text(offered("sampler", None), 5, 6) == 7
    assert tokenizer_bounds(offered("tokenizer", None), "ab") is None


def test_options_of_another_version_refuse_nothing() -> None:
    cell = offered("cell", lambda *_: SIZE)
    assert cell_size(replace(cell, options={"gone": 1}), 5, 6) == NOTHING


def test_what_an_estimate_prints_stays_off_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    assert cell_size(offered("cell", lambda *_: print("psst") or SIZE), 5, 6) == SIZE
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("kind", "estimate", "said"),
    [
        ("cell", 5, "estimate 5 of cell 'x' is not allowed: a function"),
        ("decoder", raises, "of decoder 'x' is not allowed: left out for this kind"),
    ],
)
def test_one_that_cannot_be_asked_disables_the_plugin(
    kind: str, estimate: object, said: str
) -> None:
    registry = Registry([third_party(kind, "x", estimate=estimate)])
    assert [plugin.reason.count(said) for plugin in registry.disabled] == [1]
