"""Each check of a suite can fail: for each a plugin that is wrong in just that way."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from conformance import Only, failures
from versemill.plugins import Cell, CellSize, NoOptions, Text, TokenizerBounds
from versemill.testing import CellTests, CorpusTests, DecoderTests, SamplerTests, TokenizerTests
from versemill.testing.suite import outcomes


@dataclass(frozen=True, kw_only=True)
class ScaleOptions:
    scale: float = 1.0


# Cells


class Good(Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.output_size = hidden_size
        self.w = nn.Parameter(torch.randn(input_size, hidden_size) / 2)
        self.u = nn.Parameter(torch.randn(hidden_size, hidden_size) / 2)

    def initial_state(self, batch_size, *, device, dtype):
        return (torch.zeros(batch_size, self.u.shape[0], device=device, dtype=dtype),)

    def project(self, x_TBE):
        return x_TBE @ self.w

    def recur(self, g_TBG, state, noise=None):
        (h,), ys = state, []
        for g in g_TBG:
            h = torch.tanh(g + h @ self.u)
            ys.append(h)
        return torch.stack(ys), (h,)


class WrongSize(Good):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.output_size = hidden_size + 1


class OnlyFloat32(Good):
    def recur(self, g_TBG, state, noise=None):
        y, after = super().recur(g_TBG, state)
        return (y.float() if y.dtype == torch.bfloat16 else y), after


class Forgetful(Good):
    def recur(self, g_TBG, state, noise=None):
        y, after = super().recur(g_TBG, state)
        return y + (1 < len(g_TBG) < 7), after


class OtherStep(Good):
    def prepare(self):
        step = super().prepare()
        return lambda g, state: (step(g, state)[0] * 1.01, step(g, state)[1])


class Unused(Good):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.unused = nn.Parameter(torch.zeros(2))


class WrongGradient(Good):
    def recur(self, g_TBG, state, noise=None):
        y, after = super().recur(g_TBG, state)
        return y + (y - y.detach()), after


class CutState(Good):
    def recur(self, g_TBG, state, noise=None):
        return super().recur(g_TBG, (state[0].detach(),))


class LooksAround(Good):
    def project(self, x_TBE):
        return (x_TBE - x_TBE.mean(0)) @ self.w


class OtherOneHot(Good):
    def project_one_hot(self, ids_TB, size):
        return 2 * super().project_one_hot(ids_TB, size)


class Draws(Good):
    def recur(self, g_TBG, state, noise=None):
        torch.rand(1)
        return super().recur(g_TBG, state)


class Unsaved(Good):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = float(torch.rand(()))

    def project(self, x_TBE):
        return super().project(x_TBE) * self.scale


class Counts(Good):
    made = 0

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        type(self).made += 1
        with torch.no_grad():
            self.u.mul_(1 + 0.1 * self.made)


class WritesIntoInput(Good):
    def recur(self, g_TBG, state, noise=None):
        found = super().recur(g_TBG.clone(), state)
        g_TBG.data.add_(1)
        return found


class Miscounts(Good):
    @staticmethod
    def estimate(input_size, hidden_size, options):
        parameters = (input_size + hidden_size + 1) * hidden_size
        return CellSize(parameters=parameters, activations=hidden_size, output_size=hidden_size)


class KeepsLess(Good):
    @staticmethod
    def estimate(input_size, hidden_size, options):
        parameters = (input_size + hidden_size) * hidden_size
        return CellSize(parameters=parameters, activations=9 * hidden_size, output_size=hidden_size)


CELLS = {
    "test_shapes": WrongSize,
    "test_dtypes": OnlyFloat32,
    "test_chunks_equal_the_whole": Forgetful,
    "test_prepared_steps_equal_recur": OtherStep,
    "test_gradients_reach_every_parameter": Unused,
    "test_gradients_are_right": WrongGradient,
    "test_gradients_reach_the_initial_state": CutState,
    "test_project_is_pointwise": LooksAround,
    "test_project_one_hot_equals_project": OtherOneHot,
    "test_evaluation_draws_nothing": Draws,
    "test_it_can_be_saved_and_loaded": Unsaved,
    "test_it_is_deterministic": Counts,
    "test_inputs_are_left_alone": WritesIntoInput,
    "test_the_estimate_counts_its_parameters": Miscounts,
    "test_the_estimate_is_not_above_what_is_kept": KeepsLess,
}


# Samplers


class Windows:
    carries_state: ClassVar[bool] = False

    def __init__(self, length, batch_size, window):
        self.B, self.T, self.count = batch_size, window, max(0, length - 1) // window
        self.steps = self.count // batch_size

    def starts(self, generator):
        order = torch.randperm(self.count, generator=generator)
        return (order[: self.steps * self.B] * self.T).view(-1, self.B)


class Int32(Windows):
    def starts(self, generator):
        return super().starts(generator).int()


class Leaks(Windows):
    def starts(self, generator):
        return super().starts(generator) + 1


class Repeats(Windows):
    def starts(self, generator):
        starts = super().starts(generator)
        return starts[:1].expand_as(starts)


class Remembers(Windows):
    def starts(self, generator):
        self.epochs = getattr(self, "epochs", 0) + 1
        return super().starts(torch.Generator().manual_seed(self.epochs))


class DrawsElsewhere(Windows):
    def starts(self, generator):
        torch.rand(1)
        return super().starts(generator)


class NeedsMore(Windows):
    def __init__(self, length, batch_size, window):
        super().__init__(length, batch_size, window)
        self.steps = self.steps or 1 // (length > window)


class Carries(Windows):
    carries_state: ClassVar[bool] = True


class NeedsOneLess(Windows):
    @staticmethod
    def estimate(batch_size, window, options):
        return batch_size * window + 2


SAMPLERS = {
    "test_starts_have_their_shape": Int32,
    "test_windows_stay_in_the_training_text": Leaks,
    "test_every_target_is_predicted_once": Repeats,
    "test_the_generator_decides": Remembers,
    "test_nothing_else_is_drawn_from": DrawsElsewhere,
    "test_a_short_text_has_no_steps": NeedsMore,
    "test_carried_rows_go_on": Carries,
    "test_the_estimate_is_exact": NeedsOneLess,
}


# Corpora


class Shuffled:
    calls = 0

    def __call__(self, options):
        self.calls += 1
        return Text(("a song", f"call {self.calls}"))


def corpus(*songs):
    return lambda options: Text(songs)


class Listed:
    songs = ("a song", "another")


CORPORA = {
    "test_it_returns_a_text": lambda options: Listed(),
    "test_it_is_not_empty": corpus(""),
    "test_it_is_deterministic": Shuffled(),
    "test_it_can_be_stored": corpus("one\x1etwo", "three"),
    "test_it_is_within_the_limit": corpus("a" * (1024**2 + 1)),
    "test_it_is_in_nfc": corpus(unicodedata.normalize("NFD", "naïve")),
    "test_it_has_no_control_characters": corpus("one\r\ntwo"),
}


# Decoders


class Plain:
    def __init__(self, **options):
        self.options = options

    def __call__(self, logits_BV, history_BL):
        return logits_BV.clone()


class NothingLeft(Plain):
    def __call__(self, logits_BV, history_BL):
        return torch.full_like(logits_BV, -torch.inf)


class Unmasks(Plain):
    def __call__(self, logits_BV, history_BL):
        return logits_BV.clamp(min=-100)


class DrawsToo(Plain):
    def __call__(self, logits_BV, history_BL):
        torch.rand(1)
        return logits_BV.clone()


class InPlace(Plain):
    def __call__(self, logits_BV, history_BL):
        return logits_BV.sub_(1)


class OverTheBatch(Plain):
    def __call__(self, logits_BV, history_BL):
        return logits_BV - logits_BV.amax()


class Unbounded(Plain):
    def __call__(self, logits_BV, history_BL):
        return logits_BV / self.options["scale"]


class LeavesSome(Plain):
    def __call__(self, logits_BV, history_BL):
        return logits_BV - 1


DECODERS = {
    "test_something_is_left": NothingLeft,
    "test_masked_ids_stay_masked": Unmasks,
    "test_it_is_deterministic": DrawsToo,
    "test_inputs_are_left_alone": InPlace,
    "test_rows_are_independent": OverTheBatch,
    "test_a_choice_leaves_one": LeavesSome,
    "test_every_value_allowed_works": Unbounded,
}


# Tokenizers


class Characters:
    unknown_id = None

    def __init__(self, tokens):
        self.tokens = tokens

    @classmethod
    def train(cls, text, options):
        return cls(sorted(set(text)))

    def encode(self, text):
        return [self.tokens.index(c) for c in text if c in self.tokens]

    def decode(self, ids):
        return "".join(self.tokens[i] for i in ids)

    def to_json(self):
        return {"tokens": list(self.tokens)}

    @classmethod
    def from_json(cls, stored):
        return cls(stored["tokens"])


class LowerCase(Characters):
    def decode(self, ids):
        return super().decode(ids).lower()


class OutOfRange(Characters):
    def encode(self, text):
        return [self.tokens.index(c) if c in self.tokens else len(self.tokens) for c in text]


class LosesOrder(Characters):
    def to_json(self):
        return {"tokens": list(reversed(self.tokens))}


class OtherEachTime(Characters):
    trained = 0

    @classmethod
    def train(cls, text, options):
        cls.trained += 1
        tokens = sorted(set(text))
        turn = cls.trained % len(tokens)
        return cls(tokens[turn:] + tokens[:turn])


class TakesForOthers(Characters):
    def encode(self, text):
        return [self.tokens.index(c) if c in self.tokens else 0 for c in text]


class HasFewer(Characters):
    @staticmethod
    def estimate(text, options):
        return TokenizerBounds(tokens_at_least=1 + len(set(text)), ids_at_most=len(text))


TOKENIZERS = {
    "test_text_comes_back": LowerCase,
    "test_ids_are_in_range": OutOfRange,
    "test_json_comes_back": LosesOrder,
    "test_it_is_deterministic": OtherEachTime,
    "test_unseen_characters_are_not_taken_for_others": TakesForOthers,
    "test_the_estimate_bounds_it": HasFewer,
}

SUITES = [
    (CellTests, Good, CELLS),
    (SamplerTests, Windows, SAMPLERS),
    (CorpusTests, corpus("a song\n", "another"), CORPORA),
    (DecoderTests, Plain, DECODERS),
    (TokenizerTests, Characters, TOKENIZERS),
]


@pytest.mark.parametrize(("suite", "good", "wrong"), SUITES)
def test_what_keeps_the_contract_passes(suite: type, good: object, wrong: dict) -> None:
    assert failures(suite, good) == []
    assert set(wrong) == {name for name in dir(suite) if name.startswith("test_")}


@pytest.mark.parametrize(
    ("suite", "check", "plugin"),
    [(suite, check, plugin) for suite, _, wrong in SUITES for check, plugin in wrong.items()],
)
def test_only_the_check_for_it_fails(
    suite: type, check: str, plugin: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSEMILL_CORPUS_LIMIT_MB", "1")
    options = ScaleOptions if plugin is Unbounded else NoOptions
    stage = "choice" if plugin is LeavesSome else None
    assert failures(suite, plugin, options, stage) == [check]


def test_a_sampler_may_declare_that_it_repeats() -> None:
    class Declared(Repeats):
        covers_text = False

    assert failures(SamplerTests, Declared) == []


def test_what_raises_fails_with_the_error() -> None:
    def raises(options):
        raise KeyError("no file")

    attributes = {"name": "x", "registry": Only("corpus", raises, NoOptions)}
    found = list(outcomes(type("Suite", (CorpusTests,), attributes)))
    assert {o.passed for o in found} == {False}
    assert "KeyError" in found[0].what
