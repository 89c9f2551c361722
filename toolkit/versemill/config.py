"""Configuration of a job: frozen dataclasses, and the one function that validates them.

Options classes, ours and plugins', are plain frozen dataclasses whose fields may carry
`annotated_types` bounds. They import nothing heavy; `validated` brings in pydantic when used.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from annotated_types import Ge, Gt, Le, Lt

from versemill.errors import ConfigError
from versemill.normalisation import prepared
from versemill.wording import did_you_mean

JSONValue = None | bool | int | float | str | list["JSONValue"] | dict[str, "JSONValue"]

PositiveInt = Annotated[int, Gt(0), Lt(2**31)]
PositiveFloat = Annotated[float, Gt(0)]
Share = Annotated[float, Ge(0), Lt(1)]


class Options(Protocol):
    """Any frozen dataclass of options."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


_LONGEST_NUMBER = 256  # bits; Python itself writes no number of more than 4300 digits
_DEEPEST = 300  # levels of tables and lists; more is no configuration, and the JSON parser's limit

O = TypeVar("O", bound=Options)  # noqa: E741 - the only type variable here


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """Options of a plugin that has none."""


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How a corpus is prepared, whatever its source.

    Attributes:
        newlines: keep line breaks, or turn each into a space as the classic preparation does.
        first: train on the first so many characters only; held-out text then follows them.
        holdout: share of the text kept out of training for each held-out part.
        song_separator: a line equal to this text stands between two songs; `""` is a blank line.
        field: what holds the text of each record of a JSON or CSV file; the usual names if None.
    """

    newlines: Literal["keep", "space"] = "keep"
    first: PositiveInt | None = None
    holdout: Annotated[float, Ge(0), Le(0.5)] = 0.1
    song_separator: str | None = None
    field: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The network around the cells.

    Attributes:
        hidden_size: H, width of every recurrent layer.
        layers: number of recurrent layers.
        embedding_size: E, width of the character embedding; 0 feeds one-hot vectors.
        dropout: share dropped, between layers and before the output, in training.
        embedding_dropout: share of embedding features dropped, in training.
        tied: use the embedding as output weights (a projection joins H and E if they differ).
        initialization: `uniform` (±1/√H, forget-friendly) or `normal` (mean 0, standard
            deviation 0.01, biases 0: the textbook's).
    """

    hidden_size: PositiveInt = 256
    layers: PositiveInt = 1
    embedding_size: Annotated[int, Ge(0)] = 128
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
        window: T, characters in a window; gradients are truncated there.
        optimizer: `sgd` (plain) or `adamw`.
        learning_rate: peak learning rate.
        weight_decay: decoupled weight decay (adamw only).
        schedule: `constant`, or `cosine` down to a tenth of the peak over all steps.
        warmup_steps: steps of linear warm-up before either schedule.
        clip_norm: θ; gradients are scaled by θ/norm when their global norm exceeds it; 0 is off.
        report_every: epochs between reports with lyrics.
        evaluate_every: epochs between validations.
        patience: stop after so many validations without improvement; 0 is off.
        seed: of everything random in the run.
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


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How lyrics are written.

    Attributes:
        length: most tokens to generate after the prefix.
        lines: stop after so many completed lines; 0 is off.
        decoders: the chain, each `NAME`, `NAME=VALUE` or `NAME:KEY=VALUE,KEY=VALUE`.
        seed: of the draws; the same seed gives the same text.
    """

    length: Annotated[int, Gt(0), Le(1_000_000)] = 50
    lines: Annotated[int, Ge(0)] = 0
    decoders: tuple[str, ...] = ("greedy",)
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """Everything that defines a training job, apart from the text itself.

    Attributes:
        recipe: the recipe whose values filled what was not given.
        corpus: corpus name, or the path it was read from.
        cell: cell plugin of every recurrent layer.
        sampler: sampler plugin that chooses training windows.
        tokenizer: tokenizer plugin.
        prefixes: lyrics are generated after each of these at every report.
        trackers: who follows the run, each `NAME`, `NAME=VALUE` or `NAME:KEY=VALUE,KEY=VALUE`.
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
    prefixes: tuple[str, ...]
    trackers: tuple[str, ...] = ()
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
        """Inverse of `to_json`; raises `ConfigError` for a value that is not allowed."""
        return validated(cls, stored, where="job")


def validated(options: type[O], values: Mapping[str, Any], *, where: str) -> O:
    """Builds `options` from `values`, strictly: no string for a number, no bool for an int.

    Args:
        options: a dataclass.
        values: field values as they come from TOML or JSON.
        where: dotted name of the table, used in messages.

    Raises:
        ConfigError: naming the field, the value got and what is allowed.
    """
    values = _prepared(values, where)
    _refuse_unknown_fields(options, values, where)
    from pydantic import TypeAdapter, ValidationError

    try:
        # JSON mode is strict about numbers yet takes a list for a tuple, as TOML needs.
        return TypeAdapter(options).validate_json(_dumped(values, where), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = where
        for part in first["loc"]:
            path = path if _is_branch(part) else _below(path, part)
        got = None if first["type"] == "missing" else first["input"]
        raise ConfigError(path, got, _in_words(first)) from None


def refuse_unknown_keys(values: Mapping[str, Any], allowed: Sequence[str], *, where: str) -> None:
    """Raises `ConfigError` for the first key of `values` that is not in `allowed`."""
    for key in values:
        if key not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            guess = did_you_mean(key, allowed)
            raise ConfigError(
                _below(where, key), values[key], f"no such setting; known: {known}{guess}"
            )


def _refuse_unknown_fields(options: type[Options], values: Mapping[str, Any], where: str) -> None:
    """Goes down into options inside options, since pydantic ignores what it does not know."""
    known = dataclasses.fields(options)
    refuse_unknown_keys(values, [f.name for f in known], where=where)
    for f in known:
        inner, given = f.default_factory, values.get(f.name)
        if isinstance(inner, type) and dataclasses.is_dataclass(inner) and isinstance(given, dict):
            _refuse_unknown_fields(inner, given, _below(where, f.name))


def _prepared(value: Any, where: str, depth: int = 0) -> Any:
    """The value with its texts in their one form; refuses what JSON and databases cannot hold.

    Raises:
        ConfigError: naming the place.
    """
    if isinstance(value, str):
        return prepared(value, where)
    if depth > _DEEPEST:
        raise ConfigError(where, "…", f"at most {_DEEPEST} tables or lists in one another")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(where, value, "a finite number")
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        raise ConfigError(where, value, f"a number of at most {_LONGEST_NUMBER} bits")
    if isinstance(value, Mapping):
        return {
            prepared(str(key), where): _prepared(inner, _below(where, key), depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            _prepared(inner, _below(where, index), depth + 1) for index, inner in enumerate(value)
        ]
    return value


def _below(where: str, part: str | int) -> str:
    return f"{where}.{part}" if where else str(part)


def _dumped(values: Mapping[str, Any], where: str) -> str:
    try:
        return json.dumps(values)
    except TypeError as error:  # a TOML date, say
        raise ConfigError(where, dict(values), f"JSON values only ({error})") from None


def _is_branch(part: int | str) -> bool:
    """Whether pydantic names a branch of a union here (`constrained-int`) and not a field."""
    return isinstance(part, str) and (part in {"int", "float", "str", "bool"} or "[" in part)


def _in_words(error: Mapping[str, Any]) -> str:
    """What pydantic expected, as the end of a sentence."""
    context = error.get("ctx", {})
    wanted: dict[str, str] = {
        "greater_than": "greater than {gt}",
        "greater_than_equal": "at least {ge}",
        "less_than": "less than {lt}",
        "less_than_equal": "at most {le}",
        "literal_error": "one of {expected}",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "string_type": "a text",
        "bool_type": "true or false",
        "tuple_type": "a list",
        "dict_type": "a table",
        "missing": "a value is needed",
    }
    template = wanted.get(error["type"])
    return template.format(**context) if template else str(error["msg"]).lower()
