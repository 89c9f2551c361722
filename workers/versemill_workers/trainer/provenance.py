"""With what an attempt computes, for its record."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from versemill.plugins.record import records_to_json

if TYPE_CHECKING:
    from versemill.config.validation import JSONValue
    from versemill.training.run import Training

_PACKAGES = ("versemill", "torch", "numpy")


def provenance(run: Training) -> dict[str, JSONValue]:
    """Versions of Python and packages, kernel plan, plugins and seed of a run, as JSON values.

    A package that is not installed is left out.
    """
    versions: dict[str, JSONValue] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "plan": run.plan.to_json(),
        "plugins": records_to_json(run.plugins),
        "seed": run.config.training.seed,
    }
