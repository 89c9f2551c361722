"""Chains of decoders: how stages are put into an existing chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.plugins.hookspecs import STAGES
from versemill.plugins.selection import from_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versemill.plugins.registry import Registration, Registry


def with_stages(chain: Sequence[str], stages: Sequence[str], registry: Registry) -> tuple[str, ...]:
    """`chain` with these stages in it, so that each takes effect.

    A stage replaces those with its name. If there are none, it is added before the first stage
    that belongs after it (`hookspecs.STAGES`), or else at the end. Stages that were registered
    without `stage` keep their place. A stage that leaves one id only, such as greedy decoding, is
    removed, because other stages have no effect beside it.

    Args:
        chain: specifications as in `GenerationOptions.decoders`.
        stages: the same; the last of a name counts.
        registry: where they are looked up.

    Raises:
        UnknownNameError: no decoder has that name.
        ConfigError: an option that is not allowed.
    """
    if not stages:
        return tuple(chain)
    new: dict[str, tuple[Registration, str]] = {}
    for spec in stages:
        found = _found(spec, registry)
        new[found.name] = (found, spec)
    result: list[tuple[Registration, str]] = []
    placed: set[str] = set()
    for spec in chain:
        old = _found(spec, registry)
        if old.name in new:
            if old.name not in placed:
                placed.add(old.name)
                result.append(new[old.name])
        elif old.stage != "choice":
            result.append((old, spec))
    for name, stage in new.items():
        if name not in placed:
            result.insert(_place(stage[0], result), stage)
    return tuple(spec for _, spec in result)


def _found(spec: str, registry: Registry) -> Registration:
    return from_spec("decoder", spec, registry).registration


def _place(new: Registration, chain: Sequence[tuple[Registration, str]]) -> int:
    """Where in the chain it joins."""
    if new.stage is None:
        return len(chain)
    later = STAGES[STAGES.index(new.stage) + 1 :]
    return next((at for at, (old, _) in enumerate(chain) if old.stage in later), len(chain))
