from __future__ import annotations

import itertools
import re
import types
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch

import versemill_plugins
from small_runs import PARTS, REGISTRY, config, finish, plan, through_file, trained, training
from versemill.config.job import GenerationOptions
from versemill.errors import CheckpointError, ConfigError, UnknownNameError
from versemill.evaluation.perplexity import primer_id
from versemill.generation.model import Lyric, TrainedModel
from versemill.plugins.hookspecs import hookimpl
from versemill.plugins.registry import Registry
from versemill.text.splitting import Parts
from versemill.training.run import Training

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from versemill.plugins.hookspecs import Registrar

HOT = ["temperature=1.5"]


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    """In float64, so that one row and many rows compute the same to many digits."""
    return trained(config(training={"epochs": 5}), dtype="float64")


@pytest.fixture(scope="module")
def classic() -> TrainedModel:
    """Without <unk>, and without newlines."""
    text = Parts(PARTS.training.replace("\n", " "))
    return trained(config(tokenizer_options={"unknown": False}), text, dtype="float64")


def returned(steps: Generator[None, None, Lyric]) -> Lyric:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_same_seed_gives_the_same_text(model: TrainedModel) -> None:
    texts = [model.generate("la", length=40, seed=seed, decoders=HOT) for seed in (3, 3, 4)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_the_global_generator_has_no_say(model: TrainedModel) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = model.generate("la", length=40, decoders=HOT)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert model.generate("la", length=40, decoders=HOT) == first


def test_the_stream_joined_is_the_text(model: TrainedModel) -> None:
    pieces = list(model.stream("la", length=40, seed=3, decoders=HOT))
    assert len(pieces) == 40
    assert ("la" + "".join(pieces)).rstrip("\n") == model.generate(
        "la", length=40, seed=3, decoders=HOT
    )


def test_the_stream_comes_as_it_is_drawn(model: TrainedModel) -> None:
    endless = model.stream("la", length=1_000_000, decoders=HOT)
    assert len(list(itertools.islice(endless, 3))) == 3


def test_a_stream_leaves_the_callers_gradients_on(model: TrainedModel) -> None:
    stream = model.stream("la", length=5)
    next(stream)
    assert torch.is_grad_enabled()


def test_the_first_of_a_batch_is_the_one_text(model: TrainedModel) -> None:
    batch = model.generate_batch("la", 5, length=40, seed=3, decoders=HOT)
    assert batch[0] == model.generate("la", length=40, seed=3, decoders=HOT)


def test_the_texts_of_a_batch_differ_and_do_not_depend_on_their_number(
    model: TrainedModel,
) -> None:
    batch = model.generate_batch("la", 6, length=40, seed=3, decoders=HOT)
    assert len(set(batch)) == 6
    assert model.generate_batch("la", 3, length=40, seed=3, decoders=HOT) == batch[:3]


@pytest.mark.parametrize("length", [1, 7, 40])
def test_the_length_counts_what_follows_the_prefix(classic: TrainedModel, length: int) -> None:
    assert len(classic.generate("la la", length=length, decoders=HOT)) == 5 + length


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_lines_end_the_text(model: TrainedModel, lines: int) -> None:
    text = model.generate("la", lines=lines, length=5_000, decoders=HOT)
    assert len([line for line in text.split("\n") if line.strip()]) == lines
    assert not text.endswith("\n")


def test_lines_of_the_prefix_count(model: TrainedModel) -> None:
    text = model.generate("la la\ndo", lines=2, length=5_000, decoders=HOT)
    assert len([line for line in text.split("\n") if line.strip()]) == 2


def test_a_prefix_with_all_the_lines_gains_nothing(model: TrainedModel) -> None:
    assert model.generate("la la\ndo\n", lines=2, length=100) == "la la\ndo"
    assert list(model.stream("la la\ndo\n", lines=2, length=100)) == []


def test_a_stop_text_ends_the_text_and_is_left_out(model: TrainedModel) -> None:
    whole = model.generate("la", length=60, decoders=HOT, seed=3)
    stop = whole[20:23]
    at = whole.index(stop, 2)
    assert model.generate("la", length=60, decoders=HOT, seed=3, stop=[stop]) == whole[:at]


def test_a_stream_holds_back_what_may_begin_a_stop_text(model: TrainedModel) -> None:
    whole = "".join(model.stream("la", length=60, decoders=HOT, seed=3))
    stop = whole[20:23]
    pieces = list(model.stream("la", length=60, decoders=HOT, seed=3, stop=[stop, "?"]))
    assert len(pieces) == whole.index(stop) + 3
    assert "".join(pieces) == whole[: whole.index(stop)]
    never = list(model.stream("la", length=60, decoders=HOT, seed=3, stop=[whole + "x"]))
    assert len(never) == 60
    assert never[-1] == whole


def test_each_text_of_a_batch_ends_before_its_own_stop_text(model: TrainedModel) -> None:
    whole = model.generate_batch("la", 6, length=60, decoders=HOT, seed=3)
    cut = model.generate_batch("la", 6, length=60, decoders=HOT, seed=3, stop=["o"])
    assert cut == [text[: (text + "o").index("o")] for text in whole]
    assert len({len(text) for text in cut}) > 1


def test_a_job_has_stop_texts(model: TrainedModel) -> None:
    job = trained(config(training={"epochs": 5}, generation={"stop": ["o"]}), dtype="float64")
    assert job.generate("la", seed=3, decoders=HOT) == model.generate(
        "la", seed=3, decoders=HOT, stop=["o"]
    )
    assert job.generate("la", seed=3, decoders=HOT, stop=[]) == model.generate(
        "la", seed=3, decoders=HOT
    )


def test_each_text_of_a_batch_ends_by_itself(model: TrainedModel) -> None:
    batch = model.generate_batch("la", 8, lines=2, length=5_000, decoders=HOT)
    assert all(len([x for x in text.split("\n") if x.strip()]) == 2 for text in batch)
    assert len({len(text) for text in batch}) > 1


def test_no_lines_means_the_whole_length(model: TrainedModel) -> None:
    pieces = "".join(model.stream("la", lines=0, length=500, decoders=HOT))
    assert len(pieces) == 500
    assert "\n" in pieces


@pytest.mark.parametrize("prefix", ["", "分开", "la分开", "\n", "<unk>"])
def test_any_prefix_will_do(model: TrainedModel, classic: TrainedModel, prefix: str) -> None:
    for one in (model, classic):
        assert one.generate(prefix, length=20).startswith(prefix.rstrip("\n"))


@pytest.mark.parametrize("of", ["model", "classic"])
def test_unknown_characters_are_named_with_the_form_that_is_known(
    of: str, request: pytest.FixtureRequest
) -> None:
    one: TrainedModel = request.getfixturevalue(of)
    found = one.unknown_in("la\u3000doｌ, 分l?")
    assert [(c.character, c.known_as) for c in found] == [
        ("\u3000", " "), ("ｌ", "l"), (",", None), ("分", None), ("?", None)
    ]  # fmt: skip
    assert one.unknown_in("la do") == one.unknown_in("") == ()


class Pairs:
    """A tokenizer of pairs of characters: none of its tokens is a single one."""

    unknown_id = 0
    tokens = ("<unk>", "la", "do")

    def encode(self, text: str) -> list[int]:
        pairs = [text[at : at + 2] for at in range(0, len(text), 2)]
        return [self.tokens.index(pair) if pair in self.tokens else 0 for pair in pairs]

    def decode(self, ids: list[int]) -> str:
        return "".join("\ufffd" if i == 0 else self.tokens[i] for i in ids)


def test_a_character_that_stands_within_a_token_is_known(model: TrainedModel) -> None:
    pairs = TrainedModel(
        model._model,
        Pairs(),
        model.config,
        REGISTRY,
        unseen=0.0,
        step=1,  # type: ignore[arg-type]
    )
    assert [c.character for c in pairs.unknown_in("lado<u")] == ["<", "u"]


def test_no_unknown_character_is_ever_written(model: TrainedModel) -> None:
    text = model.generate("", length=2_000, decoders=["temperature=100"])
    assert re.fullmatch(rf"[{re.escape(''.join(set(PARTS.training)))}]*", text)
    assert len(set(text)) == len(set(PARTS.training))


class Recorder:
    """A decoder stage that remembers what it was given."""

    seen: ClassVar[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def __call__(self, logits_BV: torch.Tensor, history_BL: torch.Tensor) -> torch.Tensor:
        self.seen.append((logits_BV.clone(), history_BL))
        return logits_BV


def recording() -> types.ModuleType:
    """A plugin that brings the recorder."""
    plugin = types.ModuleType("recording")

    @hookimpl
    def versemill_register_decoders(register: Registrar) -> None:
        register("recorder", f"{__name__}:Recorder", summary="remembers")

    plugin.versemill_register_decoders = versemill_register_decoders
    return plugin


@pytest.mark.parametrize("prefix", ["", "d", "la\ndo", "分l"])
def test_decoders_see_the_primer_the_prefix_and_what_follows(prefix: str) -> None:
    registry = Registry([versemill_plugins, recording()])
    run = Training(PARTS, config(), registry, plan=plan("float64"))
    Recorder.seen.clear()
    text = run.trained().generate(prefix, length=4, decoders=["recorder"], seed=2)
    tokens, network = run._tokenizer, run._model
    ids = [tokens.encode("\n")[0], *tokens.encode(text)]
    for drawn, (logits, history) in enumerate(Recorder.seen):
        known = ids[: 1 + len(prefix) + drawn]
        assert history.tolist() == [known]
        with torch.no_grad():
            y, _ = network(torch.tensor([known]).t(), network.initial_state(1))
        expected = network.logits(y[-1]).detach()
        expected[:, tokens.unknown_id] = -torch.inf
        torch.testing.assert_close(logits, expected)
    assert len(Recorder.seen) == 4


@pytest.mark.parametrize("prefix", ["la do", "do\nremi ", "分l"])
def test_greedy_is_the_argmax_of_forward_from_zero_state(prefix: str) -> None:
    run = training(config(training={"epochs": 5}), dtype="float64")
    finish(run)
    tokens, network = run._tokenizer, run._model
    ids = [primer_id(tokens), *tokens.encode(prefix)]
    for _ in range(30):
        with torch.no_grad():
            y, _ = network(torch.tensor([ids]).t(), network.initial_state(1))
            logits = network.logits(y[-1, 0])
        logits[tokens.unknown_id] = -torch.inf
        ids.append(int(logits.argmax()))
    expected = prefix + tokens.decode(ids[1 + len(prefix) :])
    written = run.trained().generate(prefix, length=30, decoders=["greedy"])
    assert written == expected.rstrip("\n")


def test_the_classic_prefix_is_read_without_a_primer(classic: TrainedModel) -> None:
    network, tokens = classic._model, classic._tokenizer
    with torch.no_grad():
        y, _ = network(torch.tensor([tokens.encode("do")]).t(), network.initial_state(1))
        best = int(network.logits(y[-1, 0]).argmax())
    assert classic.generate("do", length=1, decoders=["greedy"]) == "do" + tokens.tokens[best]


def test_what_is_not_given_comes_from_the_job(model: TrainedModel) -> None:
    assert len("".join(model.stream("la"))) == model.config.generation.length
    assert model.generate("la") == model.generate("la", length=None, seed=None)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"length": 0}, "generation.length"),
        ({"lines": -1}, "generation.lines"),
        ({"seed": -1}, "generation.seed"),
        ({"stop": [""]}, "generation.stop.0"),
        ({"stop": ["a"] * 17}, "generation.stop"),
        ({"stop": "la"}, "generation.stop"),
        ({"lenght": 3}, "generation.lenght"),
        ({"decoders": ["top-k=0"]}, "decoder top-k.k"),
        ({"stages": ["top-k=0"]}, "decoder top-k.k"),
    ],
)
def test_an_option_not_allowed_is_named(
    model: TrainedModel, options: dict[str, object], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        model.generate("la", **options)
    assert caught.value.field == field


def test_temperature_zero_is_greedy_in_a_chain_and_as_a_stage(model: TrainedModel) -> None:
    greedy = model.generate("la", length=30, decoders=["greedy"])
    assert model.generate("la", length=30, decoders=["temperature=0"], seed=9) == greedy
    assert model.generate("la", length=30, decoders=HOT, stages=["temperature=0"]) == greedy


def test_stages_go_into_the_jobs_chain(model: TrainedModel) -> None:
    job = model.config.generation
    assert job.decoders == ("temperature=0.8", "top-p=0.9")
    assert model.options(stages=["top-k=3"]).decoders == ("temperature=0.8", "top-k=3", "top-p=0.9")
    assert model.options(stages=["top-k=3"], decoders=["greedy"]).decoders == ("top-k=3",)
    assert model.options() == job


def test_an_unknown_decoder_is_refused(model: TrainedModel) -> None:
    with pytest.raises(UnknownNameError, match="greedy"):
        model.generate("la", decoders=["greddy"])


def test_a_lyric_says_how_it_was_made(model: TrainedModel) -> None:
    options = GenerationOptions(length=9, seed=4, decoders=("temperature=0.8", "top-k=3"))
    lyric = returned(model.lyric("la", options))
    assert (lyric.prefix, lyric.seed, lyric.step) == ("la", 4, model.step)
    assert lyric.decoder == "temperature=0.8,top-k=3"
    assert lyric.text == model.generate(
        "la", length=9, seed=4, decoders=["temperature=0.8", "top-k=3"]
    )


def test_a_checkpoint_writes_the_same_lyrics(tmp_path: Path) -> None:
    run = training(config())
    finish(run)
    read = through_file(run.state(), tmp_path).to_checkpoint()
    again = TrainedModel.from_checkpoint(read, REGISTRY)
    assert again.step == run.trained().step
    assert again.generate("la", length=40, decoders=HOT) == run.trained().generate(
        "la", length=40, decoders=HOT
    )


@pytest.mark.parametrize("missing", ["config", "vocabulary", "unseen", "step"])
def test_a_checkpoint_without_a_part_is_refused(missing: str) -> None:
    state = training(config()).state().to_checkpoint()
    del state.meta[missing]
    with pytest.raises(CheckpointError, match=missing):
        TrainedModel.from_checkpoint(state, REGISTRY)


def test_a_checkpoint_with_weights_of_another_shape_is_refused() -> None:
    state = training(config()).state().to_checkpoint()
    state.tensors["model.output_bias"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match="does not fit"):
        TrainedModel.from_checkpoint(state, REGISTRY)


def test_a_prefix_is_brought_into_the_one_form(model: TrainedModel) -> None:
    typed, stored = "cafe\u0301\r\nla", "café\nla"
    options = {"length": 20, "seed": 3}
    assert model.generate(typed, **options) == model.generate(stored, **options)
    assert list(model.stream(typed, **options)) == list(model.stream(stored, **options))
    written = returned(model.lyric(typed, GenerationOptions(length=20, seed=3)))
    assert written == returned(model.lyric(stored, GenerationOptions(length=20, seed=3)))
    assert written.prefix == stored


@pytest.mark.parametrize("prefix", ["la\udce9", "la\x1b", "a" + "\u0301" * 200_000])
def test_a_prefix_that_is_no_text_is_refused(model: TrainedModel, prefix: str) -> None:
    for write in (
        model.generate,
        lambda prefix: next(model.stream(prefix)),
        lambda prefix: model.generate_batch(prefix, 2),
        lambda prefix: returned(model.lyric(prefix, GenerationOptions())),
    ):
        with pytest.raises(ConfigError, match="prefix = "):
            write(prefix)
