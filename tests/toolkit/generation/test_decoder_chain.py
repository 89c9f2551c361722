from __future__ import annotations

import types
from typing import TYPE_CHECKING

import pytest

import versemill_plugins
from versemill.errors import ConfigError, UnknownNameError
from versemill.generation.decoder_chain import with_stages
from versemill.plugins import hookimpl
from versemill.plugins.registry import Registry

if TYPE_CHECKING:
    from versemill.plugins import Registrar


def third_party_plugins() -> types.ModuleType:
    """A plugin with decoders of which one says what it is, and one does not."""
    plugin = types.ModuleType("strangers")

    @hookimpl
    def versemill_register_decoders(register: Registrar) -> None:
        register("rare", "strangers:Rare", summary="keeps rare ones", stage="share")
        register("odd", "strangers:Odd", summary="odd")
        register("beam", "strangers:Beam", summary="the best path", stage="choice")

    plugin.versemill_register_decoders = versemill_register_decoders
    return plugin


REGISTRY = Registry([versemill_plugins, third_party_plugins()])


@pytest.mark.parametrize(
    ("chain", "stages", "expected"),
    [
        # nothing to put in: nothing changes, in whatever order it is
        (["greedy", "top-k=3"], [], ["greedy", "top-k=3"]),
        # in the place of the stage of its name
        (["temperature=0.8", "top-p=0.9"], ["temperature=0.5"], ["temperature=0.5", "top-p=0.9"]),
        (["top-p=0.9", "temperature=0.8"], ["temperature=0"], ["top-p=0.9", "temperature=0"]),
        (["temperature=2", "top-k=9", "temperature=3"], ["temperature=1"],
         ["temperature=1", "top-k=9"]),
        # where it belongs
        (["top-p=0.9"], ["temperature=0.5"], ["temperature=0.5", "top-p=0.9"]),
        (["temperature=0.8", "top-p=0.9"], ["top-k=5"],
         ["temperature=0.8", "top-k=5", "top-p=0.9"]),
        (["repetition-penalty=1.2"], ["top-p=0.5", "temperature=2", "top-k=4"],
         ["repetition-penalty=1.2", "temperature=2", "top-k=4", "top-p=0.5"]),
        (["top-k=4"], ["repetition-penalty=1.2"], ["repetition-penalty=1.2", "top-k=4"]),
        ([], ["top-k=4"], ["top-k=4"]),
        # greedy goes, and whatever else leaves one id
        (["greedy"], ["temperature=0.8"], ["temperature=0.8"]),
        (["repetition-penalty=1.2", "greedy"], ["top-k=5"], ["repetition-penalty=1.2", "top-k=5"]),
        (["temperature=0.8", "beam"], ["top-p=0.5"], ["temperature=0.8", "top-p=0.5"]),
        (["temperature=0.8", "beam"], ["greedy"], ["temperature=0.8", "greedy"]),
        # a stranger's, by what it says it is; one that does not say stays where it is
        (["rare"], ["top-k=5"], ["top-k=5", "rare"]),
        (["odd", "top-p=0.9"], ["temperature=0.5"], ["odd", "temperature=0.5", "top-p=0.9"]),
        (["temperature=0.5", "odd"], ["top-p=0.9"], ["temperature=0.5", "odd", "top-p=0.9"]),
        (["temperature=0.5"], ["odd"], ["temperature=0.5", "odd"]),
        # the last of a name counts
        (["greedy"], ["top-k=5", "top-k=6"], ["top-k=6"]),
    ],
)  # fmt: skip
def test_stages_take_the_places_where_they_take_effect(
    chain: list[str], stages: list[str], expected: list[str]
) -> None:
    assert with_stages(chain, stages, REGISTRY) == tuple(expected)


def test_a_stage_not_allowed_is_refused_by_its_decoders_name() -> None:
    with pytest.raises(ConfigError, match=r"^decoder top-k\.k = 0 is not allowed: greater than 0"):
        with_stages(["greedy"], ["top-k=0"], REGISTRY)
    with pytest.raises(UnknownNameError, match="'greedy'"):
        with_stages(["greddy"], ["top-k=1"], REGISTRY)
