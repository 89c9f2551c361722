"""`run`, and what can be done with the job it has trained."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import versemill
from command_line import TINY_OPTIONS, run_process
from versemill.errors import CheckpointError, UnknownNameError
from versemill.jobs import service

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_prints_reports_lyrics_and_its_end(trained_home: Path) -> None:
    printed = (trained_home / "run.out").read_text()
    first, *_ = printed.splitlines()
    assert first == "job 1 (小调), 4 epochs"
    reports = re.findall(r"^epoch (\d)/4 · step \d+ · training perplexity [\d.,]+", printed, re.M)
    assert {"2", "4"} <= set(reports)
    assert printed.count("  after '分开':\n    分开") == 2
    assert printed.count("  after '不分开':\n    不分开") == 2
    assert "\x1b" not in printed


def test_what_a_run_leaves_in_the_database(command: Any, trained: str) -> None:
    (job,) = command("jobs", "--json").json
    assert (job["name"], job["state"], job["epoch"]) == (trained, "succeeded", 4)
    assert [point["epoch"] for point in command("curve", trained, "--json").json] == [1, 2, 3, 4]
    lyrics = command("lyrics", trained, "--json").json
    assert [lyric["prefix"] for lyric in lyrics] == ["分开", "不分开"] * 2
    assert {"step", "prefix", "text", "seed", "decoder"} <= lyrics[0].keys()


def test_lyrics_shows_the_last_report_unless_told_otherwise(command: Any, trained: str) -> None:
    steps = {lyric["step"] for lyric in command("lyrics", trained, "--json").json}
    shown = command("lyrics", trained).out
    assert f"step {max(steps):,}" in shown
    assert f"step {min(steps):,}" not in shown
    assert f"step {min(steps):,}" in command("lyrics", trained, "--all").out
    assert f"step {min(steps):,}" in command("lyrics", trained, "--step", min(steps)).out
    refused = command("lyrics", trained, "--step", 3)
    assert refused.code == 1
    assert str(min(steps)) in refused.complaint


def test_no_lyrics_yet(command: Any, queue: Any) -> None:
    queue.report(queue.running("new"), 3)
    for arguments in ([], ["--json"]):
        shown = command("lyrics", "new", *arguments)
        assert shown.code == 1
        assert "the first come with epoch 10" in shown.complaint


def test_generate_repeats_with_its_seed(command: Any, trained: str) -> None:
    arguments = ("generate", trained, "--prefix", "分开", "--length", 20)
    one = command(*arguments, "--seed", 7)
    assert one.code == 0, one.err
    assert one.out.startswith("分开")
    assert command(*arguments, "--seed", 7).out == one.out
    assert command(*arguments, "--seed", 8).out != one.out


def test_streaming_writes_what_the_library_writes(command: Any, trained: str) -> None:
    streamed = command("generate", trained, "--prefix", "分开", "--length", 20, "--seed", 7).out
    text = versemill.load(trained).generate("分开", length=20, seed=7)
    assert streamed == text + "\n\n"


def test_generate_as_json_and_several(command: Any, trained: str) -> None:
    written = command(
        "generate",
        trained,
        "--prefix",
        "分",
        "--prefix",
        "开",
        "--count",
        3,
        "--top-k",
        5,
        "--json",
    ).json
    assert [(lyric["prefix"], lyric["number"]) for lyric in written] == [
        (prefix, number) for prefix in "分开" for number in (1, 2, 3)
    ]
    assert {lyric["decoder"] for lyric in written} == {"temperature=0.8,top-k=5,top-p=0.9"}


def test_generate_puts_short_options_into_the_chain(command: Any, trained: str) -> None:
    def written(*options: object) -> Any:
        (lyric,) = command("generate", trained, "--prefix", "分开", "--json", *options).json
        return lyric

    assert written("--temperature", 0.5)["decoder"] == "temperature=0.5,top-p=0.9"
    chain = ("--decoder", "repetition-penalty=1.5", "--decoder", "greedy")
    assert written(*chain)["decoder"] == "repetition-penalty=1.5,greedy"
    assert written(*chain, "--top-p", 0.5, "--temperature", 2)["decoder"] == (
        "repetition-penalty=1.5,temperature=2.0,top-p=0.5"
    )
    greedy = written("--decoder", "greedy")
    assert written("--temperature", 0, "--seed", 5)["text"] == greedy["text"]


def test_generate_ends_before_a_stop_text(command: Any, trained: str) -> None:
    arguments = ("generate", trained, "--prefix", "分开", "--length", 20, "--seed", 7)
    whole = command(*arguments).out.rstrip("\n")
    stop = whole[6:8]
    cut = whole[: whole.index(stop, 2)]
    assert command(*arguments, "--stop", "?", "--stop", stop).out == cut.rstrip("\n") + "\n\n"
    assert command(*arguments, "--stop", stop, "--count", 2).out.startswith(cut.rstrip("\n") + "\n")
    assert command(*arguments, "--stop", "").out.rstrip("\n") == whole


def test_generate_takes_the_jobs_prefixes_and_unknown_characters(
    command: Any, trained: str
) -> None:
    out = command("generate", trained, "--length", 5).out
    assert out.startswith("分开")
    assert "\n不分开" in out
    written = command("generate", trained, "--prefix", "🎵ß", "--stop", "z", "--length", 5)
    assert written.out.startswith("🎵ß")
    assert written.err.splitlines() == [
        "characters of the prefixes and stop texts that the model does not know: '🎵', 'ß', 'z'"
    ]
    assert command("generate", trained, "--length", 5, "--count", 2).err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--length", "0"], "generation.length"),
        (["--temperature", "-1"], "decoder temperature.value = -1.0"),
        (["--stop", "x" * 201], "generation.stop.0"),
        (["--decoder", "greddy"], "'greedy'"),
        (["--at", "999"], "best"),
        (["--at", "worst"], "best"),
    ],
)
def test_generate_refuses_before_it_prints(
    command: Any, trained: str, arguments: list[str], words: str
) -> None:
    done = command("generate", trained, *arguments)
    assert done.code == 1
    assert done.out == ""
    assert words in done.complaint


def test_evaluate_gives_the_figures_of_the_run(command: Any, trained: str, queue: Any) -> None:
    figures = command("evaluate", trained, "--json").json
    assert figures.keys() == {
        "nats_per_character", "bits_per_character", "perplexity", "characters", "unknown_share",
        "part",
    }  # fmt: skip
    result = service.details(queue.store, 1).result
    assert result is not None
    stored = result["held_out"][figures["part"]]
    assert figures["nats_per_character"] == pytest.approx(stored["nats_per_character"], rel=1e-5)
    assert "perplexity" in command("evaluate", trained).out
    assert command("evaluate", trained, "--part", "test").code == 1  # `first` leaves none


def test_what_needs_weights_says_that_there_are_none(command: Any, queue: Any) -> None:
    queue.submit("new")
    for name in ("generate", "evaluate"):
        done = command(name, "new")
        assert done.code == 1
        assert "no checkpoint yet" in done.complaint
    assert command("checkpoints", "list", "new", "--json").json == []


def test_an_exported_checkpoint_writes_the_same(command: Any, trained: str, tmp_path: Path) -> None:
    file = tmp_path / "song.safetensors"
    assert {c["step"] for c in command("checkpoints", "list", trained, "--json").json}
    assert command("checkpoints", "export", trained, file).code == 0
    arguments = ("--prefix", "分开", "--length", 20, "--seed", 7)
    assert command("generate", file, *arguments).out == (
        command("generate", trained, *arguments).out
    )
    again = command("checkpoints", "export", trained, file)
    assert again.code == 1
    assert "--force" in again.complaint
    assert command("checkpoints", "export", trained, tmp_path / "x.bin").code == 2
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["song.safetensors"]


def test_load_from_python(trained: str, home: Path, tmp_path: Path) -> None:
    assert versemill.load("@last").generate("分开", length=9, seed=1).startswith("分开")
    assert versemill.load(1, at="last").step > 0
    with pytest.raises(UnknownNameError):
        versemill.load("nobody")
    with pytest.raises(CheckpointError, match="nowhere"):
        versemill.load(tmp_path / "nowhere.safetensors")


def test_a_finished_job_is_resumed_and_others_cannot_be_changed(
    command: Any, trained: str, home: Path
) -> None:
    assert "--epochs" in command("run", trained).complaint
    refused = command("run", trained, "--cell", "gru")
    assert refused.code == 2
    assert "--cell" in refused.complaint
    done = run_process(home, "run", trained, "--epochs", "+2")
    assert done.code == 0, done.out + done.err
    assert [point["epoch"] for point in command("curve", trained, "--json").json] == [
        1, 2, 3, 4, 5, 6,
    ]  # fmt: skip
    again = command("lyrics", trained, "--json").json
    assert len({lyric["step"] for lyric in again}) == 3


@pytest.mark.slow
def test_a_run_that_diverges_fails_in_one_line(home: Path, command: Any) -> None:
    done = run_process(
        home, "run", *TINY_OPTIONS, "--name", "wild", "--set", "training.learning_rate=1e30",
        "--set", "training.optimizer=sgd", "--set", "training.clip_norm=0",
    )  # fmt: skip
    assert done.code == 1
    assert "epoch" in done.err
    assert "step" in done.err
    assert "Traceback" not in done.err
    assert command("jobs", "--json").json[0]["state"] == "failed"
    rate = "training.learning_rate=1e+29"
    assert f"`versemill submit --from 1 --set {rate}` starts anew with a lower one" in done.err
    cause = command("show", "wild", "--json").json["result"]["error"]
    assert (cause["code"], cause["attributes"]["epoch"]) == ("diverged", 1)
