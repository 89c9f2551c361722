"""Hooks by which plugins, built-in or a stranger's, offer what they have.

Each hook receives a `Registrar` to call once per thing offered. A registration is light: it names
the implementation as `"module:attribute"`, imported at first use, so that a hook needs neither
torch nor the implementing module. Implementations return nothing; order between plugins does not
matter, since a name may be taken only once.
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
"""What a decoder may be, in the order in which users expect these in a chain."""

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
            stage: of a decoder, what it does to the distribution, for whoever puts one more stage
                into a chain: `penalty` (lowers what was written), `scaling` (sharpens or flattens
                all of it), `count` (keeps so many ids), `share` (keeps what holds a share of the
                probability), `choice` (leaves one id, so that no other stage has an effect). They
                belong in this order. Not given: it stays where it was written.
            revision: the version of the distribution with which the results of this last changed,
                such as `"1.2"`: what jobs and their checkpoints are locked to, so that a newer
                version that gives the same results strands none. Not given: its present version.
            estimate: of a cell, sampler or tokenizer: a function that says what a job needs at
                least, without torch; see `versemill.plugins.contracts`. Not given: nothing is
                refused on its account before the job is trained.

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
    """Offers trackers, which follow runs: subclasses of `versemill.plugins.Tracker`.

    They are told `versemill.plugins.Progress`, `versemill.plugins.EpochReport` and more.
    """
