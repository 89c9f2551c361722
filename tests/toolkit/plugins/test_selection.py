"""Which plugins a job uses, and with which options."""

from __future__ import annotations

import dataclasses

import pytest

from small_runs import REGISTRY, config
from versemill.config.stored_options import ABSENT
from versemill.errors import ConfigError, UnknownNameError
from versemill.plugins.record import PluginRecord
from versemill.plugins.selection import Selection, from_spec


def test_the_records_of_a_job_name_every_plugin_with_its_options() -> None:
    job = config(generation={"decoders": ["temperature=0.5", "top-k=3"]}, trackers=["jsonl"])
    found = [(r.kind, r.name) for r in Selection(job, REGISTRY).records()]
    assert found == [
        ("corpus", "starter-zh"),
        ("tokenizer", "char"),
        ("sampler", "consecutive"),
        ("cell", "gru"),
        ("decoder", "temperature"),
        ("decoder", "top-k"),
        ("tracker", "jsonl"),
    ]
    cell = Selection(job, REGISTRY).cell.record
    assert (cell.distribution, dict(cell.options)) == ("versemill_plugins", {"reset": "after"})


def test_a_stored_text_needs_no_corpus_plugin() -> None:
    job = dataclasses.replace(config(), corpus="poems")
    assert Selection(job, REGISTRY).corpus is None
    assert "corpus" not in {r.kind for r in Selection(job, REGISTRY).records()}


def test_only_what_is_asked_for_is_looked_up() -> None:
    job = dataclasses.replace(config(), sampler="gone", trackers=("gone",))
    selection = Selection(job, REGISTRY)
    assert selection.cell.registration.name == "gru"
    for kind in ("sampler", "trackers"):
        with pytest.raises(UnknownNameError, match="'gone'"):
            getattr(selection, kind)


def test_options_that_a_plugin_does_not_take_are_refused() -> None:
    job = dataclasses.replace(config(), cell_options={"nonsense": 1})
    with pytest.raises(ConfigError, match=r"cell_options\.nonsense"):
        Selection(job, REGISTRY).cell  # noqa: B018 - looked up


def test_an_option_gained_since_means_what_was_done_before(monkeypatch: pytest.MonkeyPatch) -> None:
    job = dataclasses.replace(config(), cell_options={})
    assert Selection(job, REGISTRY).cell.options == {"reset": "after"}
    monkeypatch.setitem(ABSENT, "cell_options.reset", "before")
    assert Selection(job, REGISTRY).cell.options == {"reset": "before"}


def test_a_specification_is_a_name_with_options() -> None:
    selected = from_spec("decoder", "repetition-penalty:penalty=2,window=3", REGISTRY)
    assert selected.registration.name == "repetition-penalty"
    assert selected.options == {"penalty": 2.0, "window": 3}


def test_a_record_comes_back_from_json() -> None:
    record = Selection(config(), REGISTRY).cell.record
    assert PluginRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize("stored", [{}, {"kind": "cell"}, {"options": 3}, 3, None], ids=str)
def test_a_malformed_record_is_refused(stored: object) -> None:
    with pytest.raises(ValueError, match="record is malformed"):
        PluginRecord.from_json(stored)  # type: ignore[arg-type]
