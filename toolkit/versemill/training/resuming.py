"""What must be equal for a run to go on from a checkpoint, and what may change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from versemill.config.job import JobConfig
from versemill.config.stored_options import completed
from versemill.errors import CheckpointError, PluginMismatchError
from versemill.normalisation import normalised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.config.validation import Options

_KINDS = ("cell", "sampler", "tokenizer")
_SECTIONS = (*_KINDS, "model", "training")
_FREE = ("training.epochs", "training.report_every", "training.evaluate_every", "training.patience")
"""Settings that decide how long a run goes on and how it is watched, not what a step computes."""


def refuse_another_run(
    stored: Mapping[str, Any],
    present: Mapping[str, Any],
    options: Mapping[str, type[Options]],
    *,
    accept_change: bool,
) -> list[str]:
    """Compares a checkpoint's metadata with that of the run which wants to go on from it.

    Options that either lacks, since they were added later, are as `stored_options.completed` says.

    Args:
        stored: metadata of the checkpoint.
        present: metadata of the run.
        options: the options class of each plugin, by kind.
        accept_change: allow other versions and options of the plugins.

    Returns:
        What is other, and was allowed.

    Raises:
        CheckpointError: the text or a setting that decides the weights is another.
        PluginMismatchError: a plugin is another and `accept_change` is not set.
    """
    if stored.get("text_hash") != present["text_hash"]:
        was, now = str(stored.get("text_hash"))[:12], present["text_hash"][:12]
        raise CheckpointError(
            f"the checkpoint was made from another training text (SHA-256 {was}… → {now}…); "
            "submit it as a new job"
        )
    before, after = _settings(stored.get("config")), _settings(present["config"])
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise CheckpointError(
                f"the checkpoint was made with {name} = {before.get(name)!r}, this job has "
                f"{after.get(name)!r}; submit it as a new job"
            )
    made_with = plugins_of(stored)
    changes = _changes(made_with, plugins_of(present), options)
    if changes and not accept_change:
        raise PluginMismatchError(changes, made_with)
    return changes


def plugins_of(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of cell, sampler and tokenizer in a checkpoint's metadata, in this order.

    Checkpoints of 0.1.0 leave out kinds and options: the latter are in their configuration.
    """
    config, records = meta["config"], meta.get("plugins")
    try:
        return [
            {
                "kind": kind,
                **{key: str(record[key]) for key in ("name", "distribution", "version")},
                "options": _plain(record.get("options", config.get(f"{kind}_options")) or {}),
            }
            for kind, record in zip(_KINDS, records or (), strict=True)
        ]
    except (AttributeError, TypeError, KeyError, ValueError):
        raise CheckpointError("the checkpoint's list of plugins is malformed") from None


def _changes(
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    options: Mapping[str, type[Options]],
) -> list[str]:
    """Differences, by plugin: `cell 'x': dist-y 1.2 → 1.3; options: hidden 3 → 4`."""
    found = []
    for was, now in zip(before, after, strict=True):
        known = options[now["kind"]]
        where = f"{now['kind']}_options"
        set_before, set_now = (
            _plain(completed(known, record["options"], where=where)) for record in (was, now)
        )
        parts = [*_other_source(was, now), *_other_options(set_before, set_now)]
        if parts:
            found.append(f"{now['kind']} {now['name']!r}: {'; '.join(parts)}")
    return found


def _other_source(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    if was["distribution"] != now["distribution"]:
        came, comes = (f"{of['distribution']} {of['version']}" for of in (was, now))
        return [f"{came} → {comes}"]
    if was["version"] != now["version"]:
        return [f"{now['distribution']} {was['version']} → {now['version']}"]
    return []


def _other_options(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
    told = [f"{name} {was.get(name)!r} → {now.get(name)!r}" for name in names]
    return [f"options: {', '.join(told)}"] if told else []


def _settings(config: object) -> dict[str, Any]:
    """The settings that decide the weights, by dotted name, as JSON gives them back."""
    if not isinstance(config, dict):
        raise CheckpointError("the checkpoint's configuration is malformed")
    flat: dict[str, Any] = {}
    config = completed(JobConfig, config)
    for section in _SECTIONS:
        value = _plain(config.get(section))
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{section}.{key}".rstrip("."): setting for key, setting in inner.items()}
    return {name: value for name, value in flat.items() if name not in _FREE}


def _plain(value: object) -> Any:
    """A value as JSON gives it back; its texts in NFC, which older versions did not see to."""
    return json.loads(normalised(json.dumps(value, ensure_ascii=False)))
