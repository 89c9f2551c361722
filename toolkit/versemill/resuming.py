"""What must be equal for a run to go on from a checkpoint, and what may change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from versemill.errors import CheckpointError, PlanMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECTIONS = (
    "cell",
    "sampler",
    "tokenizer",
    "cell_options",
    "sampler_options",
    "tokenizer_options",
    "model",
    "training",
)
_FREE = ("training.epochs", "training.report_every", "training.evaluate_every", "training.patience")
"""Settings that decide how long a run goes on and how it is watched, not what a step computes."""


def refuse_another_run(
    stored: Mapping[str, Any], present: Mapping[str, Any], *, inexact: bool
) -> None:
    """Compares a checkpoint's metadata with that of the run which wants to go on from it.

    Args:
        stored: metadata of the checkpoint.
        present: metadata of the run.
        inexact: allow other versions of the plugins.

    Raises:
        CheckpointError: the text or a setting that decides the weights is another.
        PlanMismatchError: a plugin is another version and `inexact` is not set.
    """
    if stored.get("text_hash") != present["text_hash"]:
        raise CheckpointError("the checkpoint was made from another training text")
    was, now = _settings(stored.get("config")), _settings(present["config"])
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            raise CheckpointError(
                f"the checkpoint was made with {name} = {was.get(name)!r}, this job has "
                f"{now.get(name)!r}; submit it as a new job"
            )
    if stored.get("plugins") != present["plugins"] and not inexact:
        raise PlanMismatchError(
            f"cannot continue bit for bit: plugins {_plugins(stored)} → {_plugins(present)}; "
            "install the first ones, or allow small differences with --inexact"
        )


def _settings(config: object) -> dict[str, Any]:
    """The settings that decide the weights, by dotted name, as JSON gives them back."""
    if not isinstance(config, dict):
        raise CheckpointError("the checkpoint's configuration is malformed")
    flat: dict[str, Any] = {}
    for section in _SECTIONS:
        value = json.loads(json.dumps(config.get(section)))
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{section}.{key}".rstrip("."): setting for key, setting in inner.items()}
    return {name: value for name, value in flat.items() if name not in _FREE}


def _plugins(meta: Mapping[str, Any]) -> str:
    try:
        records = meta.get("plugins") or []
        return ", ".join(f"{r['name']} ({r['distribution']} {r['version']})" for r in records)
    except (TypeError, KeyError):
        raise CheckpointError("the checkpoint's list of plugins is malformed") from None
