"""The built-in corpora, tokenizers, samplers, cells, decoders and trackers.

They register through the same hooks as third-party plugins. This module, `options` and `estimates`
import neither torch nor an implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from versemill.plugins import hookimpl
from versemill_plugins import estimates
from versemill_plugins.options import (
    CharacterOptions,
    GruOptions,
    JaychouOptions,
    RepetitionPenaltyOptions,
    RnnOptions,
    TemperatureOptions,
    TopKOptions,
    TopPOptions,
)

if TYPE_CHECKING:
    from versemill.plugins import Registrar

# Jobs are tied to the revision of each plugin that they use: the version in which its results last
# changed, bit for bit on the same kernel plan. Raise it only if the results of a plugin change.
_FIRST = "0.1.0"


@hookimpl
def versemill_register_corpora(register: Registrar) -> None:
    """The bundled lyrics, and the textbook's corpus, which users provide."""
    register(
        "starter-zh",
        "versemill_plugins.corpora.starter:chinese",
        summary="original Chinese song lyrics, CC0",
    )
    register(
        "starter-en",
        "versemill_plugins.corpora.starter:english",
        summary="original English song lyrics, CC0",
    )
    register(
        "jaychou",
        "versemill_plugins.corpora.jaychou:jaychou",
        summary="the jaychou_lyrics.txt.zip of many tutorials; you provide the file",
        options=JaychouOptions,
    )


@hookimpl
def versemill_register_tokenizers(register: Registrar) -> None:
    """Characters."""
    register(
        "char",
        "versemill_plugins.tokenizers.char:CharacterTokenizer",
        summary="one id per character, vocabulary sorted",
        options=CharacterOptions,
        revision=_FIRST,
        estimate=estimates.char,
    )


@hookimpl
def versemill_register_samplers(register: Registrar) -> None:
    """The two samplers of the textbook."""
    register(
        "random",
        "versemill_plugins.samplers.random:RandomSampler",
        summary="non-overlapping windows in random order, state zero for each batch",
        revision=_FIRST,
        estimate=estimates.random,
    )
    register(
        "consecutive",
        "versemill_plugins.samplers.consecutive:ConsecutiveSampler",
        summary="adjacent windows, state carried from step to step",
        revision=_FIRST,
        estimate=estimates.consecutive,
    )


@hookimpl
def versemill_register_cells(register: Registrar) -> None:
    """Recurrent layers."""
    register(
        "rnn",
        "versemill_plugins.cells.rnn:Rnn",
        summary="plain (Elman) recurrent cell, tanh or relu",
        options=RnnOptions,
        revision=_FIRST,
        estimate=estimates.rnn,
    )
    register(
        "gru",
        "versemill_plugins.cells.gru:Gru",
        summary="gated recurrent unit, reset gate before or after the product",
        options=GruOptions,
        revision=_FIRST,
        estimate=estimates.gru,
    )
    register(
        "lstm",
        "versemill_plugins.cells.lstm:Lstm",
        summary="long short-term memory with forget gate",
        revision=_FIRST,
        estimate=estimates.lstm,
    )


@hookimpl
def versemill_register_decoders(register: Registrar) -> None:
    """Stages between the logits and the draw."""
    register(
        "greedy",
        "versemill_plugins.decoders.greedy:Greedy",
        summary="always take the most likely token",
        stage="choice",
        revision=_FIRST,
    )
    register(
        "temperature",
        "versemill_plugins.decoders.temperature:Temperature",
        summary="sharpen (below 1) or flatten (above 1) the distribution; 0: the most likely",
        options=TemperatureOptions,
        stage="scaling",
        revision=_FIRST,
    )
    register(
        "top-k",
        "versemill_plugins.decoders.top_k:TopK",
        summary="draw from the k most likely tokens",
        options=TopKOptions,
        stage="count",
        revision=_FIRST,
    )
    register(
        "top-p",
        "versemill_plugins.decoders.top_p:TopP",
        summary="draw from the fewest tokens that reach probability p",
        options=TopPOptions,
        stage="share",
        revision=_FIRST,
    )
    register(
        "repetition-penalty",
        "versemill_plugins.decoders.repetition_penalty:RepetitionPenalty",
        summary="make tokens of the last lines less likely",
        options=RepetitionPenaltyOptions,
        stage="penalty",
        revision=_FIRST,
    )


@hookimpl
def versemill_register_trackers(register: Registrar) -> None:
    """Trackers: they write the figures of a run to other places than the database."""
    register(
        "tensorboard",
        "versemill_plugins.trackers.tensorboard:TensorBoard",
        summary="event files for TensorBoard: perplexities, speed, lyrics",
    )
    register(
        "jsonl",
        "versemill_plugins.trackers.jsonl:JsonLines",
        summary="a log of one JSON object per line",
    )
