"""What must be equal when a run continues from a state, and what may change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from versemill.config.stored_options import completed
from versemill.errors import CheckpointError, PluginMismatchError
from versemill.normalisation import normalised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.checkpoints.state import TrainingState
    from versemill.config.job import JobConfig
    from versemill.config.validation import JSONValue
    from versemill.plugins.record import PluginRecord
    from versemill.plugins.selection import Selected
    from versemill.training.assembly import Assembly

_SECTIONS = ("cell", "sampler", "tokenizer", "model", "training")
_FREE = ("training.epochs", "training.report_every", "training.evaluate_every", "training.patience")
"""Settings that decide how long a run is and when it is measured, not what a step computes."""


def refuse_another_run(state: TrainingState, run: Assembly, *, accept_change: bool) -> list[str]:
    """Compares the state of a run with the run that is to continue from it.

    Options that were added after the state was made have the values of `stored_options.completed`.

    Args:
        state: from a checkpoint.
        run: the run that is to continue from it.
        accept_change: allow other versions and options of the plugins.

    Returns:
        The differences that were allowed.

    Raises:
        CheckpointError: the text differs, or a setting that decides the weights.
        PluginMismatchError: a plugin differs and `accept_change` is not set.
    """
    if state.text_hash != run.text_hash:
        was, now = state.text_hash[:12], run.text_hash[:12]
        raise CheckpointError(
            f"the checkpoint was made from another training text (SHA-256 {was}… → {now}…); "
            "submit it as a new job"
        )
    before, after = _settings(state.config), _settings(run.config)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise CheckpointError(
                f"the checkpoint was made with {name} = {before.get(name)!r}, this job has "
                f"{after.get(name)!r}; submit it as a new job"
            )
    present = run.selection.numerical
    changes = [
        change
        for was, now in zip(state.plugins, present, strict=True)
        if (change := _change(was, now))
    ]
    if changes and not accept_change:
        raise PluginMismatchError(changes)
    return changes


def _change(was: PluginRecord, now: Selected) -> str | None:
    """How a plugin differs: `cell 'x': dist-y 1.2 → 1.3; options: hidden 3 → 4`."""
    record = now.record
    known, where = now.registration.options, f"{record.kind}_options"
    before = _plain(completed(known, was.options, where=where))
    parts = [*_other_source(was, record), *_other_options(before, _plain(record.options))]
    return f"{record.kind} {record.name!r}: {'; '.join(parts)}" if parts else None


def _other_source(was: PluginRecord, now: PluginRecord) -> list[str]:
    if was.distribution != now.distribution:
        return [f"{was.distribution} {was.version} → {now.distribution} {now.version}"]
    if was.version != now.version:
        return [f"{now.distribution} {was.version} → {now.version}"]
    return []


def _other_options(was: Mapping[str, JSONValue], now: Mapping[str, JSONValue]) -> list[str]:
    names = [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
    told = [f"{name} {was.get(name)!r} → {now.get(name)!r}" for name in names]
    return [f"options: {', '.join(told)}"] if told else []


def _settings(config: JobConfig) -> dict[str, JSONValue]:
    """The settings that decide the weights, by dotted name, as JSON gives them back."""
    stored = _plain(config.to_json())
    flat: dict[str, JSONValue] = {}
    for section in _SECTIONS:
        value = stored[section]
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{section}.{key}".rstrip("."): setting for key, setting in inner.items()}
    return {name: value for name, value in flat.items() if name not in _FREE}


def _plain(values: Mapping[str, JSONValue]) -> dict[str, Any]:
    """Values as JSON gives them back; their texts in NFC, as older versions did not store them."""
    plain: dict[str, Any] = json.loads(normalised(json.dumps(dict(values), ensure_ascii=False)))
    return plain
