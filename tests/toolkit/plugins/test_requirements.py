"""What a job needs of plugins, and which will do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

import versemill_plugins
from versemill.plugins import requirements
from versemill.plugins.discovery import Source
from versemill.plugins.record import PluginRecord
from versemill.plugins.registry import Registry
from versemill.plugins.requirements import (
    OfferedPlugin,
    Requirement,
    any_version,
    at_least,
    exactly,
    lacking,
    offered,
)


def plugin(version: str, *, distribution: str = "dist-y", kind: str = "cell") -> OfferedPlugin:
    return OfferedPlugin(kind=kind, name="x", distribution=distribution, version=version)


def record(version: str, *, kind: str = "cell", name: str = "x") -> PluginRecord:
    return PluginRecord(kind=kind, name=name, distribution="dist-y", version=version)


@pytest.mark.parametrize(
    ("submitted", "found", "will_do"),
    [
        ("1.2", "1.2", True),
        ("1.2", "1.10", True),
        ("1.2", "1.2.post1", True),
        ("1.2", "1.2rc1", False),
        ("1.2", "1.1.9", False),
        ("1.2", "unknown", False),
        ("unknown", "1.2", False),
        ("unknown", "unknown", True),
        ("123456789012", "123456789013", False),  # content hashes, though of digits alone
        ("12ab56789012", "12ab56789012", True),
        ("1.2", "123456789012", False),
    ],
)
def test_a_later_version_will_do_where_there_is_an_order(
    submitted: str, found: str, *, will_do: bool
) -> None:
    (requirement,) = at_least([record(submitted)])
    assert requirement.met_by(plugin(found)) is will_do


def test_another_kind_name_or_distribution_will_not_do() -> None:
    (requirement,) = at_least([record("1.2")])
    assert not requirement.met_by(plugin("1.2", kind="sampler"))
    assert not requirement.met_by(plugin("1.2", distribution="dist-z"))
    assert not requirement.met_by(
        OfferedPlugin(kind="cell", name="y", distribution="dist-y", version="1.2")
    )


def test_a_checkpoint_needs_its_very_version_and_decoders_may_be_later() -> None:
    decoder = record("3.0", kind="decoder", name="hot")
    cell, other = exactly([record("1.3")], [record("1.2"), decoder])
    assert cell.met_by(plugin("1.3"))
    assert not cell.met_by(plugin("1.4"))
    later = OfferedPlugin(kind="decoder", name="hot", distribution="dist-y", version="3.1")
    assert other.met_by(later)


def test_once_a_change_is_accepted_any_of_its_name_will_do() -> None:
    (requirement,) = any_version([record("1.2")])
    assert requirement.met_by(plugin("0.1", distribution="dist-z"))
    assert not requirement.met_by(plugin("1.2", kind="sampler"))


def test_neither_corpus_nor_trackers_are_needed() -> None:
    assert at_least([record("1", kind="corpus"), record("1", kind="tracker")]) == ()


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (at_least([record("1.2")])[0], "cell 'x' from dist-y ≥ 1.2"),
        (at_least([record("12ab56789012")])[0], "cell 'x' from dist-y = 12ab56789012"),
        (exactly([record("1.2")])[0], "cell 'x' from dist-y = 1.2"),
        (any_version([record("1.2")])[0], "cell 'x'"),
    ],
)
def test_in_words(requirement: Requirement, words: str) -> None:
    assert str(requirement) == words


def test_what_is_lacking() -> None:
    wanted = at_least([record("1.2"), record("1.2", kind="sampler")])
    assert lacking(wanted, [plugin("1.3")]) == [wanted[1]]
    assert lacking((), []) == []


def test_equal_requirements_have_one_digest_and_come_back() -> None:
    one, other = record("1.2"), record("1.2", kind="sampler")
    stored = requirements.to_json(at_least([one, other, one]))
    assert stored == requirements.to_json(at_least([other, one]))
    assert requirements.digest(stored) == requirements.digest(
        requirements.to_json(at_least([other, one]))
    )
    assert requirements.digest(stored) != requirements.digest(
        requirements.to_json(exactly([one, other]))
    )
    assert set(requirements.from_json(stored)) == set(at_least([one, other]))


LOCKED = ("cell", "sampler", "tokenizer")


def built_ins(version: str) -> Registry:
    """As they come with that version of the product."""
    source = Source(distribution="versemill", version=version, load=lambda: versemill_plugins)
    return Registry.of([source])


@pytest.mark.parametrize(("made", "found"), [("0.1.0", "9.9.9"), ("9.9.9", "0.1.0")])
def test_a_version_of_the_product_with_the_same_results_will_do(made: str, found: str) -> None:
    records = [r.record({}) for r in built_ins(made).all()]
    wanted = exactly([r for r in records if r.kind in LOCKED], records)
    assert lacking(wanted, offered(built_ins(found))) == []


def test_what_0_1_0_recorded_will_do() -> None:
    message = {"kind": "cell", "name": "lstm", "distribution": "versemill", "version": "0.1.0"}
    assert lacking(exactly([PluginRecord.from_json(message)]), offered(built_ins("9.9.9"))) == []


def test_a_revision_raised_by_other_results_will_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [r.record({}) for r in built_ins("0.1.0").all() if r.kind in LOCKED]
    monkeypatch.setattr(versemill_plugins, "_FIRST", "9.9.9")
    now = offered(built_ins("9.9.9"))
    assert "cell 'gru' from versemill = 0.1.0" in map(str, lacking(exactly(records), now))
    assert lacking(at_least(records), now) == []  # a job without a checkpoint begins anyhow


def test_what_is_offered_is_what_jobs_need_and_bounded() -> None:
    found = offered(Registry([versemill_plugins]))
    assert {p.kind for p in found} == {"cell", "sampler", "tokenizer", "decoder"}
    many = [registered(str(n)) for n in range(1500)]
    absurd = registered("9" * 10_000)
    registry = cast("Registry", SimpleNamespace(all=lambda: [absurd, *many]))
    found = offered(registry)
    assert len(found) == 1000
    assert all(len(p.version) < 10 for p in found)


def registered(revision: str) -> SimpleNamespace:
    return SimpleNamespace(kind="cell", name="x", distribution="dist-y", revision=revision)
