"""Recipes: named sets of defaults, and how a job file and overrides become a `JobConfig`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from versemill.config import JobConfig, TextOptions, refuse_unknown_keys, validated
from versemill.errors import ConfigError, UnknownNameError
from versemill.registry import Kind, Registry, parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

JobTable = dict[str, Any]
"""A job file as TOML gives it: top-level values, and one table per section."""

TOP_LEVEL = ("name", "recipe", "corpus", "cell", "sampler", "tokenizer", "prefixes", "trackers")
SECTIONS = (
    "corpus_options",
    "cell_options",
    "sampler_options",
    "tokenizer_options",
    "model",
    "training",
    "generation",
)
_TEXT_FIELDS = tuple(f.name for f in fields(TextOptions))


def classic(cell: str) -> JobTable:
    """The textbook run: one-hot input, one layer, plain SGD, clipping at 0.01.

    The figures are those that many tutorials of the character-level recurrent network share.
    """
    rnn = cell == "rnn"
    return {
        "corpus": "starter-zh",
        "sampler": "random" if rnn else "consecutive",
        "tokenizer": "char",
        "prefixes": ["分开", "不分开"],
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
    """What one would really use: chosen by held-out perplexity per minute (docs/recipes.md)."""
    return {
        "corpus": "starter-zh",
        "sampler": "consecutive",
        "tokenizer": "char",
        "prefixes": ["分开", "不分开"],
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


RECIPES = {"classic": classic, "default": default}
_DEFAULT_CELL = {"classic": "rnn", "default": "gru"}


def resolve(table: Mapping[str, Any], registry: Registry) -> JobConfig:
    """Fills a job table from its recipe and validates every value.

    Args:
        table: a job file's content with overrides already applied (`apply_overrides`). The
            top-level `name` is the submitter's business and ignored here.
        registry: where all but the corpus are looked up, which may be a stored
            name or a path and is looked up by whoever reads it.

    Raises:
        ConfigError: an unknown key or a value that is not allowed.
        UnknownNameError: an unknown recipe, cell, sampler, tokenizer, decoder or tracker.
    """
    refuse_unknown_keys(table, (*TOP_LEVEL, *SECTIONS), where="")
    recipe = _text(table, "recipe", "default")
    if recipe not in RECIPES:
        raise UnknownNameError("recipe", recipe, RECIPES)
    cell = _text(table, "cell", _DEFAULT_CELL[recipe])
    registry.find("cell", cell)
    merged = _merge(RECIPES[recipe](cell), table)

    corpus_options = dict(merged.get("corpus_options", {}))
    text = {key: corpus_options.pop(key) for key in _TEXT_FIELDS if key in corpus_options}
    stored: JobTable = {
        "recipe": recipe,
        "corpus": _text(merged, "corpus", ""),
        "cell": cell,
        "sampler": _text(merged, "sampler", ""),
        "tokenizer": _text(merged, "tokenizer", ""),
        "prefixes": merged["prefixes"],
        "trackers": merged.get("trackers", []),
        "text": _plain(validated(TextOptions, text, where="corpus_options")),
        "corpus_options": corpus_options,
        "model": merged.get("model", {}),
        "training": merged.get("training", {}),
        "generation": merged.get("generation", {}),
    }
    kinds: tuple[Kind, ...] = ("cell", "sampler", "tokenizer")
    for kind in kinds:
        options = merged.get(f"{kind}_options", {})
        stored[f"{kind}_options"] = registry.find(kind, stored[kind]).validate(options)
    if registry.has("corpus", stored["corpus"]):
        registration = registry.find("corpus", stored["corpus"])
        stored["corpus_options"] = registration.validate(corpus_options)
    elif corpus_options:
        refuse_unknown_keys(corpus_options, _TEXT_FIELDS, where="corpus_options")
    config = validated(JobConfig, stored, where="")
    for spec in config.generation.decoders:
        parse_spec("decoder", spec, registry)
    followers = [parse_spec("tracker", spec, registry)[0].name for spec in config.trackers]
    if len(set(followers)) < len(followers):
        raise ConfigError("trackers", list(config.trackers), "each tracker once")
    return config


def apply_overrides(table: Mapping[str, Any], overrides: Mapping[str, Any]) -> JobTable:
    """Returns `table` with dotted `overrides` (`{"training.epochs": 5}`) put in.

    Raises:
        ConfigError: a dotted name that leads nowhere.
    """
    result = _merge({}, table)
    for dotted, value in overrides.items():
        section, dot, key = dotted.partition(".")
        if not dot:
            refuse_unknown_keys({section: value}, TOP_LEVEL, where="")
            result[section] = value
            continue
        refuse_unknown_keys({section: value}, SECTIONS, where="")
        result.setdefault(section, {})[key] = value
    return result


def _merge(base: JobTable, over: Mapping[str, Any]) -> JobTable:
    """A copy of `base` with `over` laid on top, section by section."""
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


def _plain(options: TextOptions) -> dict[str, Any]:
    return {f.name: getattr(options, f.name) for f in fields(options)}
