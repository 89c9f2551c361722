"""Writing lyrics with a trained model.

Shapes: B texts side by side, T time, V vocabulary, L ids so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from versemill.checkpoints.model_fit import build_fitting_model
from versemill.config.job import GenerationOptions, JobConfig
from versemill.config.validation import validated
from versemill.errors import CheckpointError, PluginError, UnknownNameError
from versemill.evaluation.perplexity import evaluate, primer_id
from versemill.nn.seeds import derived
from versemill.normalisation import prepared
from versemill.plugins.registry import Registry, parse_spec
from versemill.plugins.run_events import HeldOut, Lyric

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from torch import Tensor

    from versemill.checkpoints.file import Checkpoint
    from versemill.nn.network import LanguageModel
    from versemill.plugins.contracts import Decoder, Tokenizer


class TrainedModel:
    """A model with its vocabulary: all that is needed to write and to be measured.

    Not safe for use from several threads at once.

    Args:
        model: the network; read, never changed.
        tokenizer: the one it was trained with.
        config: the job that trained it; its `[generation]` table holds the defaults.
        registry: where decoders are looked up.
        unseen: `perplexity.unseen_share` of the training text.
        step: training step of the weights.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        config: JobConfig,
        registry: Registry,
        *,
        unseen: float,
        step: int,
    ) -> None:
        self.config = config
        self.step = step
        self._model = model
        self._tokenizer = tokenizer
        self._registry = registry
        self._unseen = unseen

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, registry: Registry, *, best: bool = False
    ) -> TrainedModel:
        """The model of a checkpoint: its latest weights, or the best so far.

        Raises:
            CheckpointError: the checkpoint does not fit its own configuration.
            UnknownNameError: a plugin it needs is not installed.
        """
        meta = checkpoint.meta
        try:
            config = JobConfig.from_json(meta["config"])
            registry.find("cell", config.cell).validate(config.cell_options)
            tokenizer_class = registry.find("tokenizer", config.tokenizer).load()
            tokenizer: Tokenizer = tokenizer_class.from_json(meta["vocabulary"])
            weights = (checkpoint.part("best") if best else {}) or checkpoint.part("model")
            model = build_fitting_model(config, len(tokenizer.tokens), registry, weights)
            unseen = float(meta["unseen"])
            step = int((best and meta["best_step"]) or meta["step"])
        except (CheckpointError, PluginError, UnknownNameError):
            raise
        except (
            ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
        ) as error:  # fmt: skip
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"the checkpoint does not fit its model: {reason}") from None
        return cls(model, tokenizer, config, registry, unseen=unseen, step=step)

    def generate(self, prefix: str = "", **options: Any) -> str:
        """Prefix and continuation as one text; options as for `stream`."""
        return self.generate_batch(prefix, 1, **options)[0]

    def generate_batch(self, prefix: str, count: int, **options: Any) -> list[str]:
        """`count` different texts in one batch; the first is the one `generate` gives."""
        prefix = prepared(prefix, "prefix")
        texts = [prefix] * count
        for pieces in self._pieces(prefix, count, self._options(options)):
            for row, piece in enumerate(pieces):
                texts[row] += piece
        return [text.rstrip("\n") for text in texts]

    def stream(self, prefix: str = "", **options: Any) -> Iterator[str]:
        """The continuation, piece by piece as it is drawn.

        Args:
            prefix: text to go on from, read whole from zero state; unknown characters are fine.
            **options: fields of `versemill.config.job.GenerationOptions`; what is not given comes
                from the job. The same seed on the same machine gives the same text.

        Raises:
            ConfigError: an option that is not allowed.
        """
        for pieces in self._pieces(prepared(prefix, "prefix"), 1, self._options(options)):
            yield pieces[0]

    def lyric(self, prefix: str, options: GenerationOptions) -> Generator[None, None, Lyric]:
        """Writes one text, yielding as it grows; returns it with the record of how it was made."""
        text = prefix = prepared(prefix, "prefix")
        for pieces in self._pieces(prefix, 1, options):
            text += pieces[0]
            yield
        return Lyric(
            step=self.step,
            prefix=prefix,
            text=text.rstrip("\n"),
            seed=options.seed,
            decoder=",".join(options.decoders),
        )

    def evaluate(self, segments: Sequence[str], *, part: str) -> HeldOut:
        """The held-out figures on `segments`; see `versemill.evaluation.perplexity`."""
        return evaluate(self._model, self._tokenizer, segments, part=part, unseen=self._unseen)

    def _options(self, changes: dict[str, Any]) -> GenerationOptions:
        given = {key: value for key, value in changes.items() if value is not None}
        stored = self.config.to_json()["generation"]
        return validated(GenerationOptions, {**stored, **given}, where="generation")

    def _chain(self, specs: Sequence[str]) -> list[Decoder]:
        parsed = [parse_spec("decoder", spec, self._registry) for spec in specs]
        return [registration.load()(**options) for registration, options in parsed]

    @torch.no_grad()  # around the generator, so that the caller computes as before between pieces
    def _pieces(self, prefix: str, count: int, options: GenerationOptions) -> Iterator[list[str]]:
        """What each of `count` texts gains, id by id; an ended text gains nothing more."""
        tokenizer, chain = self._tokenizer, self._chain(options.decoders)
        draw = _Draw(options.seed, count)
        lines = [_Lines(prefix, options.lines) for _ in range(count)]
        start_1L = self._start(prefix)
        known = start_1L.shape[1]
        written_BL = start_1L.new_empty(count, known + options.length)
        written_BL[:, :known] = start_1L
        history_BL = written_BL[:, :known]
        y_TBH, states = self._model(history_BL.t(), self._model.initial_state(count))
        logits_BV = self._model.logits(y_TBH[-1])
        step = self._model.stepper()
        for position in range(options.length):
            if position:
                logits_BV, states = step(history_BL[:, -1], states)
            if tokenizer.unknown_id is not None:
                logits_BV[:, tokenizer.unknown_id] = -torch.inf
            for stage in chain:
                logits_BV = stage(logits_BV, history_BL)
            ids_B = draw(logits_BV)
            written_BL[:, known + position] = ids_B
            history_BL = written_BL[:, : known + position + 1]
            pieces = [tokenizer.decode([i]) for i in ids_B.tolist()]
            yield [row.take(piece) for row, piece in zip(lines, pieces, strict=True)]
            if all(row.ended for row in lines):
                return

    def _start(self, prefix: str) -> Tensor:
        """Ids read before the first draw, [1, L]: a newline if the model knows it, the prefix."""
        ids = self._tokenizer.encode(prefix)
        primer = primer_id(self._tokenizer)
        if not ids or self._tokenizer.decode([primer]) == "\n":
            ids = [primer, *ids]
        return torch.tensor([ids], device=self._model.output_bias.device)


class _Draw:
    """Draws ids from logits; each row has a generator of its own, so rows do not disturb rows."""

    def __init__(self, seed: int, count: int) -> None:
        self._generators = [
            torch.Generator().manual_seed(derived(seed, "draw", row)) for row in range(count)
        ]

    def __call__(self, logits_BV: Tensor) -> Tensor:
        cumulative_BV = logits_BV.double().cpu().softmax(dim=1).cumsum(dim=1)
        uniform_B1 = torch.stack(
            [torch.rand(1, generator=g, dtype=torch.float64) for g in self._generators]
        )
        # side="right" never lands on an id of probability zero.
        drawn = torch.searchsorted(cumulative_BV, uniform_B1 * cumulative_BV[:, -1:], side="right")
        return drawn.squeeze(1).clamp_(max=logits_BV.shape[1] - 1).to(logits_BV.device)


class _Lines:
    """Ends a text after so many lines that are not blank; 0 never ends it."""

    def __init__(self, prefix: str, limit: int) -> None:
        self.ended = False
        self._limit = limit
        *complete, self._current = prefix.split("\n")
        self._complete = sum(1 for line in complete if line.strip())

    def take(self, piece: str) -> str:
        """What of `piece` still belongs to the text."""
        if self.ended:
            return ""
        for at, character in enumerate(piece):
            if character != "\n":
                self._current += character
                continue
            self._complete += bool(self._current.strip())
            self._current = ""
            if self._limit and self._complete >= self._limit:
                self.ended = True
                return piece[:at]
        return piece
