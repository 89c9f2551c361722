"""Recipes: named sets of defaults. The one place in the core that names built-in plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versemill.config.validation import refuse_unknown_keys
from versemill.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

JobTable = dict[str, Any]
"""A job file as TOML gives it: top-level values, and one table per section."""

TOP_LEVEL = (
    "name", "recipe", "corpus", "text", "cell", "sampler", "tokenizer", "prefixes", "trackers"
)  # fmt: skip
SECTIONS = (
    "corpus_options",
    "cell_options",
    "sampler_options",
    "tokenizer_options",
    "model",
    "training",
    "generation",
)

_STARTER = "starter-zh"
_USUAL_PREFIXES = ("分开", "不分开")


def classic(cell: str) -> JobTable:
    """The textbook run: one-hot input, one layer, plain SGD, clipping at 0.01.

    The figures are those that many tutorials of the character-level recurrent network share.
    """
    rnn = cell == "rnn"
    return {
        "corpus": _STARTER,
        "sampler": "random" if rnn else "consecutive",
        "tokenizer": "char",
        "corpus_options": {"newlines": "space", "first": 10_000},
        "cell_options": {"reset": "before"} if cell == "gru" else {},
        "tokenizer_options": {"unknown": False},
        "model": {
            "hidden_size": 256,
            "layers": 1,
            "embedding_size": 0,
            "initialization": "normal",
        },
        "training": {
            "epochs": 250 if rnn else 160,
            "batch_size": 32,
            "window": 35,
            "optimizer": "sgd",
            "learning_rate": 100.0,
            "clip_norm": 0.01,
            "report_every": 50 if rnn else 40,
            "evaluate_every": 50 if rnn else 40,
        },
        "generation": {"length": 50, "decoders": ["greedy"]},
    }


def default(cell: str) -> JobTable:
    """For real use: its values were chosen by held-out perplexity per minute (docs/recipes.md)."""
    return {
        "corpus": _STARTER,
        "sampler": "consecutive",
        "tokenizer": "char",
        "model": {
            "hidden_size": 128,
            "layers": 1,
            "embedding_size": 128,
            "dropout": 0.5,
            "embedding_dropout": 0.4,
            "tied": True,
        },
        "training": {
            "epochs": 16,
            "batch_size": 16,
            "window": 35,
            "optimizer": "adamw",
            "learning_rate": 0.01,
            "weight_decay": 0.3,
            "schedule": "cosine",
            "clip_norm": 0.25,
            "report_every": 4,
            "patience": 6,
        },
        "generation": {"length": 200, "lines": 12, "decoders": ["temperature=0.8", "top-p=0.9"]},
    }


def usual_prefixes(recipe: str, corpus: str) -> tuple[str, ...]:
    """The prefixes of the tutorials; use them only if the text has their characters."""
    return _USUAL_PREFIXES if recipe == "classic" or corpus == _STARTER else ()


RECIPES = {"classic": classic, "default": default}
REFERENCE_CELL = "lstm"
"""The cell whose speed `plugins check` compares others with."""
_DEFAULT_CELL = {"classic": "rnn", "default": "gru"}


def with_recipe_values(table: Mapping[str, Any]) -> JobTable:
    """A job table, completed with the values of its recipe.

    Args:
        table: a job file's content with overrides already applied (`apply_overrides`).

    Raises:
        ConfigError: an unknown key, or something else than a text where a name belongs.
        UnknownNameError: an unknown recipe.
    """
    refuse_unknown_keys(table, (*TOP_LEVEL, *SECTIONS), where="")
    recipe = _text(table, "recipe", "default")
    if recipe not in RECIPES:
        raise UnknownNameError("recipe", recipe, RECIPES)
    cell = _text(table, "cell", _DEFAULT_CELL[recipe])
    merged = _merge(RECIPES[recipe](cell), table) | {"recipe": recipe, "cell": cell}
    for key in ("corpus", "sampler", "tokenizer"):
        _text(merged, key, "")
    return merged


def apply_overrides(table: Mapping[str, Any], overrides: Mapping[str, Any]) -> JobTable:
    """Returns `table` with dotted `overrides` (`{"training.epochs": 5}`) put in.

    Another corpus replaces a stored text too (`text`), unless that is named as well.

    Raises:
        ConfigError: a dotted name that leads nowhere.
    """
    result = _merge({}, table)
    for dotted, value in overrides.items():
        section, dot, key = dotted.partition(".")
        if not dot:
            refuse_unknown_keys({section: value}, TOP_LEVEL, where="")
            result[section] = value
            if section == "corpus" and "text" not in overrides:
                result.pop("text", None)
            continue
        refuse_unknown_keys({section: value}, SECTIONS, where="")
        result.setdefault(section, {})[key] = value
    return result


def _merge(base: JobTable, over: Mapping[str, Any]) -> JobTable:
    """A copy of `base` in which the values of `over` replace others, section by section."""
    merged = {key: dict(v) if isinstance(v, dict) else v for key, v in base.items()}
    for key, value in over.items():
        if key in SECTIONS:
            if not isinstance(value, dict):
                raise ConfigError(key, value, f"a table: [{key}]")
            merged[key] = {**merged.get(key, {}), **value}
        else:
            merged[key] = value
    return merged


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise ConfigError(key, value, "a text that is not empty")
    return value
