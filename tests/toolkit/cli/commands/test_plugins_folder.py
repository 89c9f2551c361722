"""A plugin in a folder: listed, trained with by `run`, and told of when it is broken."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from command_line import TINY_OPTIONS, environment

PLUGIN = """
from versemill.plugins.hookspecs import hookimpl

@hookimpl
def versemill_register_cells(register):
    register("leaky", ":Leaky", summary="forgets by half")

@hookimpl
def versemill_register_corpora(register):
    register("refrain", ":refrain", summary="one line again and again")

def refrain(options):
    from versemill.text.corpus import Text
    {corpus}

def __getattr__(name):  # the cell alone needs torch
    if name != "Leaky":
        raise AttributeError(name)
    import torch
    from versemill.plugins.cell import Cell

    class Leaky(Cell):
        def __init__(self, input_size, hidden_size):
            super().__init__()
            self.output_size = hidden_size
            self.weight = torch.nn.Parameter(torch.eye(input_size, hidden_size))

        def initial_state(self, batch_size, *, {wrong}device, dtype):
            return (torch.zeros(batch_size, self.output_size, device=device, dtype=dtype),)

        def recur(self, inputs, state, noise=None):
            (hidden,) = state
            outputs = []
            for step in inputs @ self.weight:
                hidden = (hidden + step) / 2
                outputs.append(hidden)
            {cell}
            return torch.stack(outputs), (hidden,)

    return Leaky
"""
SINGS = "return Text(('小船摇呀摇\\\\n摇到月亮桥\\\\n' * 200,))"


def plugin(folder: Path, corpus: str = SINGS, cell: str = "", wrong: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "random.py"
    path.write_text(PLUGIN.format(corpus=corpus, cell=cell, wrong=wrong))
    return path


def run(home: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("versemill")), *arguments],
        env=environment(home) | {"VERSEMILL_PLUGINS": "."},
        cwd=folder,  # in which lies a random.py that is not Python's
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


TRAIN = ("run", "--cell", "leaky", "--corpus", "refrain", "--prefix", "小船", *TINY_OPTIONS)


@pytest.mark.slow
def test_a_job_is_trained_with_a_cell_and_a_corpus_from_a_folder(tmp_path: Path) -> None:
    path = plugin(tmp_path / "plugins")
    done = run(tmp_path / "home", path.parent, *TRAIN)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = run(tmp_path / "home", path.parent, "show", "@last", "--json")
    version = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert version in shown.stdout
    written = run(tmp_path / "home", path.parent, "generate", "@last", "--prefix", "小船")
    assert written.returncode == 0, written.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "how"),
    [
        ({"cell": "raise ZeroDivisionError('out of tune')"}, "ZeroDivisionError: out of tune"),
        ({"wrong": "not_"}, "TypeError: "),
    ],
    ids=["raises", "wrong signature"],
)
def test_a_cell_that_fails_its_job_is_told_by_name_and_version(
    tmp_path: Path, broken: dict[str, str], how: str
) -> None:
    path = plugin(tmp_path / "plugins", **broken)
    done = run(tmp_path / "home", path.parent, *TRAIN)
    assert done.returncode == 1
    version = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    message = f"cell 'leaky' of random.py {version} raised {how}"
    assert message in done.stdout + done.stderr
    shown = run(tmp_path / "home", path.parent, "show", "@last").stdout
    assert message in shown
    assert "failed (user error)" in shown


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "plugins"
    place.mkdir()
    monkeypatch.setenv("VERSEMILL_PLUGINS", str(place))
    return place


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("return 3", "returned a int, not a versemill.plugins.Text"),
        ("return Text((3,))", "returned a int as song 1"),
        ("raise KeyError('verse')", "raised KeyError: 'verse'"),
        ("raise SystemExit(4)", "raised SystemExit: 4"),
    ],
)
def test_a_corpus_that_breaks_its_contract(
    command: Any, folder: Path, corpus: str, message: str
) -> None:
    plugin(folder, corpus)
    refused = command("submit", "--corpus", "refrain")
    assert refused.code == 1
    assert refused.complaint.startswith("corpus 'refrain' of random.py ")
    assert refused.complaint.endswith(message)


@pytest.mark.parametrize(
    ("song", "reason"),
    [
        ("'la\\x1b[2J'", "holds the control character U+001B"),
        ("'la\\udce9'", "is not valid UTF-8"),
        ("'a' + '\\u0301' * 200_000", "more than 100 combining marks in a row"),
    ],
)
def test_a_corpus_that_returns_what_is_no_text_is_refused(
    command: Any, folder: Path, song: str, reason: str
) -> None:
    plugin(folder, f"return Text(('la', {song}))")
    for arguments in (("submit", "--corpus", "refrain"), ("corpora", "show", "refrain")):
        refused = command(*arguments)
        assert refused.code == 1
        assert refused.complaint.startswith("song 2 of corpus 'refrain' of random.py ")
        assert reason in refused.complaint


def test_what_a_corpus_returns_is_brought_into_the_one_form(command: Any, folder: Path) -> None:
    plugin(folder, "return Text(('cafe\\u0301\\r\\nla\\fli',))")
    assert command("corpora", "show", "refrain", "--json").json["sample"] == "café\nla\nli"


def test_json_stays_valid_when_a_corpus_prints(command: Any, folder: Path) -> None:
    plugin(folder, f"print('la la'); {SINGS}")
    shown = command("corpora", "show", "refrain", "--json")
    assert shown.json["characters"] == 2800
    assert shown.err == "la la\n"


DECODER = """
from versemill.plugins.hookspecs import hookimpl

@hookimpl
def versemill_register_decoders(register):
    register("fickle", ":Fickle", summary="raises")

class Fickle:
    def __call__(self, logits, history):
        return {}["next"]
"""


def test_a_decoder_that_raises_is_named_by_the_command(
    command: Any, folder: Path, trained: str
) -> None:
    (folder / "fickle.py").write_text(DECODER)
    refused = command("generate", trained, "--prefix", "分开", "--decoder", "fickle")
    assert refused.code == 1
    assert refused.complaint.startswith("decoder 'fickle' of fickle.py ")
    assert refused.complaint.endswith(" raised KeyError: 'next'")


def test_an_error_of_our_own_keeps_its_traceback(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("versemill.cli.terminal.tables.table", lambda *_: {}["ours"])
    with pytest.raises(KeyError, match="ours"):
        command("plugins", "list")


def test_broken_ones_are_listed_and_others_still_work(command: Any, folder: Path) -> None:
    plugin(folder)
    (folder / "loud.py").write_text("print('{}')\nimport os\nos.write(1, b'[')\n")
    (folder / "quits.py").write_text("raise SystemExit(0)")
    (folder / "empty.py").write_text("")
    listed = command("plugins", "list", "--json")
    rows = listed.json
    reasons = {row["distribution"]: row["disabled"] for row in rows if row["disabled"]}
    assert reasons["loud.py"] == (
        "it prints when it is imported: '{}'; a plugin may not, use logging"
    )
    assert reasons["quits.py"] == "import failed: SystemExit: 0"
    assert reasons["empty.py"].startswith("it has no hook")
    assert [row["distribution"] for row in rows if row["name"] == "leaky"] == ["random.py"]
    shown = command("plugins", "list").out
    assert all(f"disabled: {name} " in shown for name in reasons)


@pytest.mark.slow
def test_doctor_finds_what_listing_cannot(command: Any, folder: Path) -> None:
    plugin(folder)
    (folder / "ends.py").write_text("import os; os._exit(5)")
    (folder / "hangs.py").write_text("while True: pass")
    (folder / "seeds.py").write_text(
        (folder / "random.py").read_text().replace('"leaky"', '"leaky2"').replace("refrain", "re2")
        + "\nimport torch\ntorch.manual_seed(3)\n"
    )
    examined = command("doctor", "--json")
    assert examined.code == 1
    found = [f["detail"] for f in json.loads(examined.out) if f["check"] == "plugins"]
    assert len(found) == 3, found
    assert "it ends the process that tries it (exit code 5)" in found[0]
    assert "it does not come to an end: stopped after 10 s at File" in found[1]
    assert "it changes torch's random state" in found[2]
    for name in ("ends", "hangs", "seeds"):
        (folder / f"{name}.py").unlink()
    assert "random.py" in command("doctor").out
    assert command("doctor").code == 0
