"""Configuration of a job: frozen dataclasses of options.

A token is what one step reads and writes: a character, unless the tokenizer has longer tokens.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

from versemill.config.stored_options import completed
from versemill.config.validation import PositiveFloat, PositiveInt, Share, validated
from versemill.text.options import TextOptions

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The network around the cells.

    Attributes:
        hidden_size: H, width of every recurrent layer.
        layers: number of recurrent layers.
        embedding_size: E, width of the tokens' embedding; 0 feeds one-hot vectors.
        dropout: share dropped, between layers and before the output, in training.
        embedding_dropout: share of embedding features dropped, in training.
        tied: use the embedding as output weights (a projection joins H and E if they differ).
        initialization: `uniform` (±1/√H, forget-friendly) or `normal` (mean 0, standard
            deviation 0.01, biases 0: the textbook's).
    """

    hidden_size: PositiveInt = 256
    layers: Annotated[int, Gt(0), Le(1000)] = 1
    embedding_size: Annotated[int, Ge(0), Lt(2**31)] = 128
    dropout: Share = 0.0
    embedding_dropout: Share = 0.0
    tied: bool = False
    initialization: Literal["uniform", "normal"] = "uniform"


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How the network is trained.

    Attributes:
        epochs: passes over the training text.
        batch_size: B, windows in a step.
        window: T, tokens in a window; gradients are truncated there.
        optimizer: `sgd` (plain) or `adamw`.
        learning_rate: peak learning rate.
        weight_decay: decoupled weight decay (adamw only).
        schedule: `constant`, or `cosine` down to a tenth of the peak over all steps.
        warmup_steps: steps of linear warm-up before either schedule.
        clip_norm: θ; gradients are scaled by θ/norm when their global norm exceeds it; 0 is off.
        report_every: epochs between reports with lyrics.
        evaluate_every: epochs between validations.
        patience: stop after this number of validations without improvement; 0 is off.
        seed: seed of everything random in the training.
    """

    epochs: PositiveInt = 100
    batch_size: PositiveInt = 32
    window: PositiveInt = 35
    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: PositiveFloat = 3e-3
    weight_decay: Annotated[float, Ge(0)] = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Annotated[int, Ge(0)] = 0
    clip_norm: Annotated[float, Ge(0)] = 1.0
    report_every: PositiveInt = 10
    evaluate_every: PositiveInt = 1
    patience: Annotated[int, Ge(0)] = 0
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0


StopText = Annotated[str, MinLen(1), MaxLen(200)]


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How lyrics are generated.

    Attributes:
        length: most tokens to generate after the prefix.
        lines: end the text when it has this number of lines; those of the prefix count, blank ones
            do not; 0 is off.
        stop: end the text before the first of these that is generated after the prefix.
        decoders: the chain, each `NAME`, `NAME=VALUE` or `NAME:KEY=VALUE,KEY=VALUE`; an empty one
            draws from the model's own distribution.
        seed: seed of the draws; the same seed gives the same text.
    """

    length: Annotated[int, Gt(0), Le(1_000_000)] = 50
    lines: Annotated[int, Ge(0)] = 0
    stop: Annotated[tuple[StopText, ...], MaxLen(16)] = ()
    decoders: Annotated[tuple[str, ...], MaxLen(100)] = ()
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """Everything that defines a training job, apart from the text itself.

    Attributes:
        recipe: the recipe that gave the values that were not given.
        corpus: corpus name, or the path it was read from.
        cell: cell plugin of every recurrent layer.
        sampler: sampler plugin that chooses training windows.
        tokenizer: tokenizer plugin.
        prefixes: lyrics are generated after each of these at every report.
        trackers: trackers that get the events of the run, each `NAME`, `NAME=VALUE` or
            `NAME:KEY=VALUE,KEY=VALUE`.
        text: preparation of the text.
        corpus_options: options of the corpus plugin, already validated by its options class.
        cell_options: likewise for the cell.
        sampler_options: likewise for the sampler.
        tokenizer_options: likewise for the tokenizer.
        model: the network.
        training: the optimisation.
        generation: the lyrics.
    """

    recipe: str
    corpus: str
    cell: str
    sampler: str
    tokenizer: str
    prefixes: Annotated[tuple[str, ...], MaxLen(1000)]
    trackers: Annotated[tuple[str, ...], MaxLen(100)] = ()
    text: TextOptions = field(default_factory=TextOptions)
    corpus_options: dict[str, Any] = field(default_factory=dict)
    cell_options: dict[str, Any] = field(default_factory=dict)
    sampler_options: dict[str, Any] = field(default_factory=dict)
    tokenizer_options: dict[str, Any] = field(default_factory=dict)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    generation: GenerationOptions = field(default_factory=GenerationOptions)

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> JobConfig:
        """Inverse of `to_json`; options that were added later have the values of `completed`.

        Raises:
            ConfigError: a value that is not allowed.
        """
        return validated(cls, completed(cls, stored), where="job")
