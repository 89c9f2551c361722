"""A trained model, which generates lyrics and can be evaluated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from versemill.checkpoints.model_fit import build_fitting_model
from versemill.checkpoints.state import TrainingState
from versemill.config.job import GenerationOptions
from versemill.config.validation import validated
from versemill.errors import CheckpointError, PluginError, UnknownNameError
from versemill.evaluation.perplexity import evaluate
from versemill.generation.decoder_chain import with_stages
from versemill.generation.sampling import sample
from versemill.normalisation import prepared
from versemill.plugins.run_events import HeldOut, Lyric
from versemill.plugins.selection import Selection, from_spec
from versemill.text.unknown_characters import UnknownCharacter, unknown_characters

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from versemill.checkpoints.file import Checkpoint
    from versemill.config.job import JobConfig
    from versemill.nn.network import LanguageModel
    from versemill.plugins.contracts import Decoder, Tokenizer
    from versemill.plugins.registry import Registry


class TrainedModel:
    """A model with its vocabulary: all that generation and evaluation need.

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
        state = TrainingState.from_checkpoint(checkpoint)
        weights = (best and state.best_weights) or state.weights
        selection = Selection(state.config, registry)
        try:
            tokenizer: Tokenizer = selection.tokenizer.load().from_json(state.vocabulary)
            model = build_fitting_model(selection, len(tokenizer.tokens), weights)
        except (CheckpointError, PluginError, UnknownNameError):
            raise
        except (
            ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
        ) as error:  # fmt: skip
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise CheckpointError(f"the checkpoint does not fit its model: {reason}") from None
        return cls(
            model,
            tokenizer,
            state.config,
            registry,
            unseen=state.unseen_share,
            step=(best and state.best_step) or state.step,
        )

    def generate(self, prefix: str = "", **options: Any) -> str:
        """Prefix and continuation as one text; options as for `stream`."""
        return self.generate_batch(prefix, 1, **options)[0]

    def generate_batch(self, prefix: str, count: int, **options: Any) -> list[str]:
        """`count` different texts in one batch; the first is the one `generate` gives."""
        prefix = prepared(prefix, "prefix")
        texts = [prefix] * count
        for pieces in self._pieces(prefix, count, self.options(**options)):
            for row, piece in enumerate(pieces):
                texts[row] += piece
        return [text.rstrip("\n") for text in texts]

    def stream(self, prefix: str = "", **options: Any) -> Iterator[str]:
        """The continuation, piece by piece as it is drawn.

        Args:
            prefix: the text to continue, read from zero state; it may have unknown characters.
            **options: see `options`. The same seed on the same machine gives the same text.

        Raises:
            ConfigError: an option that is not allowed.
        """
        for pieces in self._pieces(prepared(prefix, "prefix"), 1, self.options(**options)):
            yield pieces[0]

    def lyric(self, prefix: str, options: GenerationOptions) -> Generator[None, None, Lyric]:
        """Generates one text, yielding after each piece; returns it and how it was made."""
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

    def unknown_in(self, text: str) -> tuple[UnknownCharacter, ...]:
        """The characters of a prefix that the model does not know, with the forms it does know.

        The model reads them as `<unk>`, or leaves them out if it has none. It never generates
        them, which matters for stop texts.
        """
        tokenizer = self._tokenizer
        tokens = enumerate(tokenizer.tokens)
        spelt = {c for number, token in tokens if number != tokenizer.unknown_id for c in token}

        def known(character: str) -> bool:
            ids = tokenizer.encode(character)
            whole = tokenizer.unknown_id not in ids and tokenizer.decode(ids) == character
            return whole or character in spelt

        return unknown_characters(prepared(text, "prefix"), known)

    def evaluate(self, segments: Sequence[str], *, part: str) -> HeldOut:
        """The held-out figures on `segments`; see `versemill.evaluation.perplexity`."""
        return evaluate(self._model, self._tokenizer, segments, part=part, unseen=self._unseen)

    def options(self, *, stages: Sequence[str] = (), **given: Any) -> GenerationOptions:
        """The job's options with some changed.

        Args:
            stages: decoders to put into the chain, such as `["temperature=0.5"]`: each replaces
                the stage with its name or is added where it belongs, and greedy decoding is
                removed; see `versemill.generation.decoder_chain.with_stages`.
            **given: fields of `versemill.config.job.GenerationOptions`; what is None or not given
                comes from the job. `decoders` is the whole chain, and `stages` go into it.

        Raises:
            ConfigError: an option that is not allowed.
            UnknownNameError: no decoder has that name.
        """
        changes = {key: value for key, value in given.items() if value is not None}
        stored = self.config.to_json()["generation"]
        options = validated(GenerationOptions, {**stored, **changes}, where="generation")
        chain = with_stages(options.decoders, stages, self._registry)
        return replace(options, decoders=chain)

    def _pieces(self, prefix: str, count: int, options: GenerationOptions) -> Iterator[list[str]]:
        """See `sample`; the chain is built first, so that a wrong one is refused at once."""
        stages = [from_spec("decoder", spec, self._registry) for spec in options.decoders]
        chain: list[Decoder] = [stage.load()(**stage.options) for stage in stages]
        return sample(self._model, self._tokenizer, chain, prefix, count, options)
