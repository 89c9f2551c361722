from __future__ import annotations

from typing import Any

import pytest

import versemill_plugins
from versemill.config.recipes import RECIPES, apply_overrides
from versemill.errors import ConfigError, UnknownNameError
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.text.options import TextOptions

REGISTRY = Registry([versemill_plugins])


def refused(table: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        resolve(table, REGISTRY)
    return caught.value


@pytest.mark.parametrize(
    ("cell", "sampler", "epochs", "report_every"),
    [
        ("rnn", "random", 250, 50),
        ("gru", "consecutive", 160, 40),
        ("lstm", "consecutive", 160, 40),
    ],
)
def test_classic_is_the_textbooks_run(
    cell: str, sampler: str, epochs: int, report_every: int
) -> None:
    job = resolve({"recipe": "classic", "cell": cell}, REGISTRY)
    assert job.sampler == sampler
    assert job.prefixes == ()  # chosen when it is submitted
    assert job.text == TextOptions(newlines="space", first=10_000)
    assert job.tokenizer_options == {"unknown": False}
    assert (job.model.hidden_size, job.model.layers, job.model.embedding_size) == (256, 1, 0)
    assert job.model.initialization == "normal"
    assert (job.training.epochs, job.training.report_every) == (epochs, report_every)
    assert (job.training.batch_size, job.training.window) == (32, 35)
    assert (job.training.optimizer, job.training.schedule) == ("sgd", "constant")
    assert (job.training.learning_rate, job.training.clip_norm) == (100.0, 0.01)
    assert (job.generation.length, job.generation.decoders) == (50, ("greedy",))


def test_classic_resets_before_the_product() -> None:
    job = resolve({"recipe": "classic", "cell": "gru"}, REGISTRY)
    assert job.cell_options == {"reset": "before"}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_every_recipe_resolves_for_every_cell(recipe: str, cell: str) -> None:
    job = resolve({"recipe": recipe, "cell": cell}, REGISTRY)
    assert (job.recipe, job.cell) == (recipe, cell)


def test_nothing_given_means_the_default_recipe() -> None:
    assert resolve({}, REGISTRY).recipe == "default"


def test_what_is_given_goes_over_the_recipe_and_the_rest_stays() -> None:
    job = resolve({"recipe": "classic", "training": {"epochs": 3}}, REGISTRY)
    assert (job.training.epochs, job.training.learning_rate) == (3, 100.0)


def test_options_of_plugins_are_filled_and_checked() -> None:
    assert resolve({"cell": "gru"}, REGISTRY).cell_options == {"reset": "after"}
    error = refused({"cell": "rnn", "cell_options": {"nonlinearity": "sin"}})
    assert error.field == "cell_options.nonlinearity"
    assert refused({"cell": "lstm", "cell_options": {"reset": "after"}}).field == (
        "cell_options.reset"
    )


def test_corpus_options_are_told_from_text_options() -> None:
    table = {"corpus": "jaychou", "corpus_options": {"path": "x.zip", "first": 100}}
    job = resolve(table, REGISTRY)
    assert job.corpus_options == {"path": "x.zip"}
    assert job.text.first == 100


def test_a_path_serves_as_corpus_and_has_text_options_only() -> None:
    assert resolve({"corpus": "songs/my.txt"}, REGISTRY).corpus == "songs/my.txt"
    error = refused({"corpus": "songs/my.txt", "corpus_options": {"path": "x"}})
    assert error.field == "corpus_options.path"


def test_the_name_is_the_submitters_business() -> None:
    assert resolve({"name": "mine"}, REGISTRY) == resolve({}, REGISTRY)


@pytest.mark.parametrize(
    ("table", "kind", "guess"),
    [
        ({"recipe": "clasic"}, "recipe", "classic"),
        ({"cell": "lstmm"}, "cell", "lstm"),
        ({"sampler": "randon"}, "sampler", "random"),
        ({"tokenizer": "chars"}, "tokenizer", "char"),
        ({"generation": {"decoders": ["greddy"]}}, "decoder", "greedy"),
    ],
)
def test_an_unknown_name_gets_the_nearest(table: dict[str, Any], kind: str, guess: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{guess}'") as caught:
        resolve(table, REGISTRY)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ({"cel": "gru"}, "cel"),
        ({"cell": 3}, "cell"),
        ({"corpus": ""}, "corpus"),
        ({"training": []}, "training"),
        ({"training": {"epoch": 3}}, "training.epoch"),
        ({"model": {"hidden_size": 0}}, "model.hidden_size"),
        ({"corpus_options": {"first": 0}}, "corpus_options.first"),
        ({"prefixes": "分开"}, "prefixes"),
        ({"generation": {"decoders": ["top-k=0"]}}, "decoder top-k.k"),
    ],
)
def test_a_bad_setting_is_named(table: dict[str, Any], field: str) -> None:
    assert refused(table).field == field


def test_a_resolved_job_resolves_in_json() -> None:
    job = resolve({"recipe": "classic"}, REGISTRY)
    assert type(job).from_json(job.to_json()) == job


def test_overrides_reach_top_and_sections() -> None:
    table = {"cell": "rnn", "training": {"epochs": 3, "window": 5}}
    changed = apply_overrides(table, {"cell": "gru", "training.epochs": 7, "model.layers": 2})
    assert changed == {
        "cell": "gru",
        "training": {"epochs": 7, "window": 5},
        "model": {"layers": 2},
    }


def test_overrides_leave_the_table_alone() -> None:
    table = {"training": {"epochs": 3}}
    apply_overrides(table, {"training.epochs": 7})
    assert table == {"training": {"epochs": 3}}


@pytest.mark.parametrize("dotted", ["cel", "trainig.epochs", "training", "cell.reset"])
def test_an_override_that_leads_nowhere_is_refused(dotted: str) -> None:
    with pytest.raises(ConfigError):
        apply_overrides({}, {dotted: 1})
