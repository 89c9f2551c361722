"""From a job table to a validated `JobConfig`: recipe filled in, every plugin's options checked."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from versemill.config.job import JobConfig
from versemill.config.recipes import JobTable, with_recipe_values
from versemill.config.validation import refuse_unknown_keys, validated
from versemill.errors import ConfigError
from versemill.plugins.selection import Selection
from versemill.text.options import TextOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.plugins.registry import Kind, Registry

_TEXT_FIELDS = tuple(f.name for f in fields(TextOptions))


def resolve(table: Mapping[str, Any], registry: Registry) -> JobConfig:
    """Fills a job table from its recipe and validates every value.

    Args:
        table: a job file's content with overrides already applied (`apply_overrides`). The
            top-level `name` is the submitter's business and ignored here.
        registry: where all but the corpus are looked up, which may be a stored
            name or a path and is looked up by whoever reads it.

    Returns:
        The job; without `prefixes` in the table it has none, since they are chosen from the text
        (`versemill.config.prefixes`).

    Raises:
        ConfigError: an unknown key or a value that is not allowed.
        UnknownNameError: an unknown recipe, cell, sampler, tokenizer, decoder or tracker.
    """
    merged = with_recipe_values(table)
    registry.find("cell", merged["cell"])
    corpus_options = dict(merged.get("corpus_options", {}))
    text = {key: corpus_options.pop(key) for key in _TEXT_FIELDS if key in corpus_options}
    stored: JobTable = {
        **{key: merged[key] for key in ("recipe", "corpus", "cell", "sampler", "tokenizer")},
        "prefixes": merged.get("prefixes", []),
        "trackers": merged.get("trackers", []),
        "text": asdict(validated(TextOptions, text, where="corpus_options")),
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
    selection = Selection(config, registry)
    selection.decoders  # noqa: B018 - looked up, so that an unknown one is refused
    trackers = [tracker.registration.name for tracker in selection.trackers]
    if len(set(trackers)) < len(trackers):
        raise ConfigError("trackers", list(config.trackers), "each tracker once")
    return config
