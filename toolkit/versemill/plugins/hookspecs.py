"""Hooks in which plugins, built-in or third-party, register what they offer.

Each hook gets a `Registrar` and calls it once for each thing that the plugin offers. A registration
names the implementation as `"module:attribute"`. It is imported at first use, so a hook needs
neither torch nor the implementing module. A hook returns nothing. The order of plugins does not
matter, because each name can be registered only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import pluggy

from versemill.config.validation import NoOptions, Options

if TYPE_CHECKING:
    from versemill.plugins.contracts import Estimate

PROJECT = "versemill"

Stage: TypeAlias = Literal["penalty", "scaling", "count", "share", "choice"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""What a decoder does, in the usual order of a chain."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Registrar(Protocol):
    """Takes registrations of one kind from one plugin."""

    def __call__(
        self,
        name: str,
        target: str,
        *,
        summary: str,
        options: type[Options] = NoOptions,
        stage: Stage | None = None,
        revision: str | None = None,
        estimate: Estimate | None = None,
    ) -> None:
        """Offers one implementation.

        Args:
            name: what users write; lower-case letters, digits, `-` and `_`.
            target: `"module:attribute"` of the implementation.
            summary: one line for `versemill plugins list`.
            options: frozen dataclass of what users may set; must not need torch.
            stage: of a decoder: what it does to the distribution. Options such as `--top-k` use it
                to find the place of another stage in the chain: `penalty` (lowers ids that were
                written), `scaling` (sharpens or flattens the distribution), `count` (keeps a
                number of ids), `share` (keeps the ids that hold a share of the probability),
                `choice` (leaves one id, so that other stages have no effect). Stages belong in
                this order. Not given: the decoder stays where the user wrote it.
            revision: the version of the distribution in which the results of this last changed,
                such as `"1.2"`. Jobs and checkpoints are tied to it, so a newer version with the
                same results can continue them. Not given: the present version.
            estimate: of a cell, sampler or tokenizer: a function that says what a job needs at
                least, without torch; see `versemill.plugins.contracts`. Not given: no job is
                refused because of it before it is trained.

        Raises:
            PluginError: for a malformed or already taken name, target, summary, stage, revision or
                estimate. The whole plugin is then disabled.
        """


@hookspec
def versemill_register_corpora(register: Registrar) -> None:
    """Offers corpora: callables per `versemill.plugins.Corpus`."""


@hookspec
def versemill_register_tokenizers(register: Registrar) -> None:
    """Offers tokenizers: classes per `versemill.plugins.Tokenizer`."""


@hookspec
def versemill_register_samplers(register: Registrar) -> None:
    """Offers training-window samplers: classes per `versemill.plugins.Sampler`."""


@hookspec
def versemill_register_cells(register: Registrar) -> None:
    """Offers recurrent cells: subclasses of `versemill.plugins.Cell`."""


@hookspec
def versemill_register_decoders(register: Registrar) -> None:
    """Offers decoder stages: classes per `versemill.plugins.Decoder`."""


@hookspec
def versemill_register_trackers(register: Registrar) -> None:
    """Offers trackers: subclasses of `versemill.plugins.Tracker`.

    They get the events of a run: `versemill.plugins.Progress`, `versemill.plugins.EpochReport` and
    more.
    """
