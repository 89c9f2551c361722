from __future__ import annotations

import datetime
import json
import math
from dataclasses import FrozenInstanceError, dataclass
from typing import Annotated, Any

import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st

from versemill.config.job import GenerationOptions, JobConfig, ModelOptions, TrainingOptions
from versemill.config.validation import validated
from versemill.errors import ConfigError
from versemill.normalisation import normalised
from versemill.text.options import TextOptions

JOB: dict[str, Any] = {
    "recipe": "default",
    "corpus": "songs.txt",
    "cell": "gru",
    "sampler": "random",
    "tokenizer": "char",
    "prefixes": ["分开"],
}


@dataclass(frozen=True, kw_only=True)
class StrangerOptions:
    depth: Annotated[int, Ge(2)]
    rate: float = 0.5


def refused(options: type, values: dict[str, Any], where: str = "here") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        validated(options, values, where=where)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("options", "field", "value", "words"),
    [
        (TrainingOptions, "epochs", 0, "greater than 0"),
        (TrainingOptions, "epochs", -3, "greater than 0"),
        (TrainingOptions, "epochs", "3", "a whole number"),
        (TrainingOptions, "epochs", 3.0, "a whole number"),
        (TrainingOptions, "epochs", True, "a whole number"),
        (TrainingOptions, "epochs", None, "a whole number"),
        (TrainingOptions, "seed", 2**63, "less than 9223372036854775808"),
        (TrainingOptions, "learning_rate", 0, "greater than 0.0"),
        (TrainingOptions, "learning_rate", "fast", "a number"),
        (TrainingOptions, "learning_rate", math.nan, "a finite number"),
        (TrainingOptions, "learning_rate", math.inf, "a finite number"),
        (TrainingOptions, "optimizer", "adam", "one of 'sgd' or 'adamw'"),
        (ModelOptions, "dropout", 1, "less than 1.0"),
        (ModelOptions, "dropout", -0.1, "at least 0.0"),
        (ModelOptions, "tied", "yes", "true or false"),
        (ModelOptions, "embedding_size", -1, "at least 0"),
        (TextOptions, "holdout", 0.6, "at most 0.5"),
        (TextOptions, "first", 0, "greater than 0"),
        (TextOptions, "song_separator", 3, "a text"),
        (GenerationOptions, "decoders", "greedy", "a list"),
        (GenerationOptions, "length", 1_000_001, "at most 1000000"),
        (GenerationOptions, "stop", "x", "a list"),
        (GenerationOptions, "stop", ["x"] * 17, "at most 16 entries"),
    ],
)
def test_a_value_not_allowed_is_named(options: type, field: str, value: Any, words: str) -> None:
    error = refused(options, {field: value})
    assert error.field == f"here.{field}"
    assert repr(error.value) == repr(value)
    assert str(error).endswith(words)


def test_an_unknown_setting_gets_the_nearest_name() -> None:
    error = refused(TrainingOptions, {"epoch": 3})
    assert error.field == "here.epoch"
    assert str(error).endswith("did you mean 'epochs'?")


@pytest.mark.parametrize("section", ["model", "training", "generation", "text"])
def test_an_unknown_setting_inside_a_section_is_refused(section: str) -> None:
    error = refused(JobConfig, {**JOB, section: {"epochs.x": 1}}, where="")
    assert error.field == f"{section}.epochs.x"


def test_a_value_inside_a_section_is_named_from_the_top() -> None:
    error = refused(JobConfig, {**JOB, "model": {"layers": 0}}, where="")
    assert error.field == "model.layers"


def test_an_entry_of_a_list_is_named_by_its_place() -> None:
    assert refused(JobConfig, {**JOB, "prefixes": ["a", 3]}, where="").field == "prefixes.1"


def test_text_that_is_no_unicode_is_refused() -> None:
    error = refused(JobConfig, {**JOB, "prefixes": ["\udcff"]}, where="")
    assert error.field == "prefixes.0"
    str(error).encode()


def test_what_json_cannot_hold_is_refused() -> None:
    error = refused(TrainingOptions, {"epochs": datetime.date(2026, 1, 1)})
    assert "JSON values only" in str(error)


def test_a_whole_number_serves_as_a_float() -> None:
    options = validated(TrainingOptions, {"learning_rate": 1}, where="training")
    assert type(options.learning_rate) is float


def test_a_list_serves_as_a_tuple() -> None:
    options = validated(GenerationOptions, {"decoders": ["greedy"]}, where="generation")
    assert options.decoders == ("greedy",)


def test_third_party_options_are_checked_by_their_bounds() -> None:
    good = validated(StrangerOptions, {"depth": 2}, where="cell_options")
    assert good == StrangerOptions(depth=2, rate=0.5)
    assert refused(StrangerOptions, {"depth": 1}).field == "here.depth"
    assert "a value is needed" in str(refused(StrangerOptions, {}))


def test_options_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainingOptions().epochs = 3


texts = st.text(st.characters(exclude_categories=["Cc", "Cs"])).map(normalised)


@given(
    st.builds(
        JobConfig,
        recipe=texts,
        corpus=texts,
        cell=texts,
        sampler=texts,
        tokenizer=texts,
        prefixes=st.lists(texts).map(tuple),
        cell_options=st.dictionaries(texts, st.integers() | texts | st.booleans()),
        training=st.builds(
            TrainingOptions,
            epochs=st.integers(1, 2**31 - 1),
            seed=st.integers(0, 2**63 - 1),
            learning_rate=st.floats(1e-9, 1e9),
        ),
        generation=st.builds(
            GenerationOptions, seed=st.just(1), decoders=st.lists(texts).map(tuple)
        ),
    )
)
def test_a_job_survives_json(job: JobConfig) -> None:
    assert JobConfig.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_a_job_stored_before_there_were_stop_texts_has_none() -> None:
    stored = {**JOB, "generation": {"length": 9, "lines": 2, "decoders": ["greedy"], "seed": 1}}
    assert JobConfig.from_json(stored).generation.stop == ()


def test_a_stored_job_with_a_bad_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"job\.training\.epochs"):
        JobConfig.from_json({**JOB, "training": {"epochs": 0}})
