from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest

from versemill.cli.job_options import setting
from versemill.config.validation import NoOptions
from versemill.jobs import service
from versemill_plugins.corpora.starter import chinese

if TYPE_CHECKING:
    from pathlib import Path


def config_of(queue: Any, key: str = "@last") -> dict[str, Any]:
    found = service.find(queue.store, key)
    return service.details(queue.store, found.id).config


def test_submit_prints_what_it_did_and_that_no_worker_runs(command: Any, queue: Any) -> None:
    done = command("submit", "--cell", "lstm", "--name", "夜曲")
    assert done.code == 0
    assert done.out == "submitted job 1 (夜曲)\n"
    assert "versemill worker" in done.err
    job = service.find(queue.store, "夜曲")
    assert (job.state, job.cell, job.corpus, job.owner) == ("queued", "lstm", "starter-zh", "ann")


def test_submit_as_json(command: Any) -> None:
    assert command("submit", "--json").json["state"] == "queued"


def test_file_overrides_recipe_options_override_file_and_set_overrides_all(
    command: Any, queue: Any, tmp_path: Path
) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        'name = "from-file"\nrecipe = "classic"\ncell = "gru"\nprefixes = ["一"]\n'
        "[training]\nepochs = 7\nbatch_size = 8\nwindow = 9\n"
    )
    done = command(
        "submit", file, "--epochs", 5, "--prefix", "分开", "--set", "training.batch_size=4",
        "--set", "training.epochs=3",
    )  # fmt: skip
    assert done.code == 0, done.err
    config = config_of(queue, "from-file")
    assert (config["recipe"], config["cell"]) == ("classic", "gru")
    assert config["prefixes"] == ["分开"]
    training = config["training"]
    assert (training["epochs"], training["batch_size"], training["window"]) == (3, 4, 9)
    assert training["learning_rate"] == 100.0  # the recipe's


@pytest.mark.parametrize("recipe", ["default", "classic"])
def test_prefixes_are_chosen_from_the_corpus(
    command: Any, queue: Any, tmp_path: Path, recipe: str
) -> None:
    text = tmp_path / "poems.txt"
    text.write_text("The moon is up\nI see it\nThe sun is down\n" * 99)
    done = command("submit", "--corpus", text, "--recipe", recipe)
    assert done.code == 0, done.err
    assert config_of(queue, "@last")["prefixes"] == ["The ", "I "]
    assert "prefixes" not in done.err
    command("submit", "--recipe", recipe)
    assert config_of(queue, "@last")["prefixes"] == ["分开", "不分开"]
    command("submit", "--recipe", recipe, "--set", "prefixes=[]")
    assert config_of(queue, "@last")["prefixes"] == []


def test_unknown_characters_of_prefixes_are_named(command: Any, queue: Any, tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        'corpus = "starter-zh"\nprefixes = ["春天ｘ　🎵"]\n[generation]\nstop = ["y"]\n'
    )
    done = command("submit", file)
    assert done.code == 0
    assert config_of(queue, "@last")["prefixes"] == ["春天ｘ　🎵"]
    assert done.err.splitlines()[0] == (
        "characters of its prefixes or stop texts that the training text does not have: "
        "'ｘ', '\\u3000' (' ' is known), '🎵', 'y'"
    )
    seven = command("submit", "--prefix", "春天abcdefg")
    assert "'a', 'b', 'c', 'd', 'e' and 2 more" in seven.err.splitlines()[0]


def test_plugins_are_recorded_with_their_options(command: Any, queue: Any) -> None:
    command("submit", "--recipe", "classic", "--cell", "gru")
    job = service.find(queue.store, "@last")
    recorded = {p.kind: p for p in service.details(queue.store, job.id).plugins}
    assert recorded.keys() == {"corpus", "tokenizer", "sampler", "cell", "decoder"}
    assert recorded["cell"].options == {"reset": "before"}
    assert recorded["cell"].distribution == "versemill"


@pytest.mark.parametrize(
    ("assignment", "name", "value"),
    [
        ("training.epochs=5", "training.epochs", 5),
        ("training.learning_rate=1e-3", "training.learning_rate", 1e-3),
        ("cell=gru", "cell", "gru"),
        ('cell="gru"', "cell", "gru"),
        ("model.tied=true", "model.tied", True),
        ('prefixes=["分开", "b"]', "prefixes", ["分开", "b"]),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("name=1\nvalue2 = 2", "name", "1\nvalue2 = 2"),
    ],
)
def test_set_takes_toml_values_and_bare_words(assignment: str, name: str, value: Any) -> None:
    assert setting(assignment) == (name, value)


@pytest.mark.parametrize("assignment", ["training.epochs", "=5", " =5"])
def test_set_without_a_value_is_wrong_usage(command: Any, assignment: str) -> None:
    done = command("submit", "--set", assignment)
    assert done.code == 2
    assert "SECTION.KEY=VALUE" in done.complaint


def test_corpus_from_a_path_is_stored_by_content(command: Any, queue: Any, tmp_path: Path) -> None:
    file = tmp_path / "poem.txt"
    file.write_text("春眠不觉晓\n" * 500)
    done = command("submit", "--corpus", file)
    assert done.code == 0, done.err
    file.unlink()
    job = service.find(queue.store, "@last")
    assert job.name == "poem-gru-1"
    content_hash = service.details(queue.store, job.id).content_hash
    assert service.text_by_hash(queue.store, content_hash).characters == 3000


def test_a_corpus_in_another_encoding_is_recognised_and_told(
    command: Any, queue: Any, tmp_path: Path
) -> None:
    text = "\n".join(chinese(NoOptions()).songs[:20])
    written = tmp_path / "lyrics.txt"
    written.write_bytes(text.encode("gb18030"))
    by_option = command("submit", "--corpus", written, "--name", "by-option")
    message = f"{written} is read as GB18030, a guess; it begins: {' '.join(text[:20].split())[:6]}"
    assert by_option.err.startswith(message)
    assert (
        "if that is wrong, `versemill corpora add NAME PATH --encoding ENCODING`" in by_option.err
    )
    job_file = tmp_path / "job.toml"
    job_file.write_text('corpus = "lyrics.txt"\nname = "by-file"\n')
    assert command("submit", job_file).err.startswith(message)
    assert command("corpora", "show", written, "--json").err.startswith(message)
    stored = service.details(queue.store, service.find(queue.store, "by-file").id).content_hash
    assert service.text_by_hash(queue.store, stored).songs == (text,)
    written.write_bytes(text.encode("utf-16"))
    assert command("corpora", "show", written).err == f"{written} is read as UTF-16\n"
    written.write_text(text)
    assert command("corpora", "show", written).err == ""


def test_a_corpus_whose_encoding_cannot_be_told_is_refused_with_what_to_do(
    command: Any, tmp_path: Path
) -> None:
    written = tmp_path / "lyrics.txt"
    written.write_bytes("春眠不觉晓".encode("gbk"))
    for refused in (command("submit", "--corpus", written), command("corpora", "show", written)):
        assert refused.code == 1
        assert "name the right one, one of utf-8," in refused.complaint
    assert command("jobs", "--json").json == []


def test_corpus_added_by_name(command: Any, queue: Any, tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text("春眠不觉晓\n" * 500)
    added = command("corpora", "add", "诗", tmp_path / "poem.txt")
    assert added.out == "corpus 诗: 3,000 characters, no song boundaries, read as UTF-8\n"
    assert command("submit", "--corpus", "诗").code == 0
    assert service.find(queue.store, "@last").corpus == "诗"


def test_songs_that_were_stored_stay_and_others_are_told_apart_by_the_job(
    command: Any, tmp_path: Path
) -> None:
    written = tmp_path / "a.txt"
    written.write_text("春眠不觉晓处处闻啼鸟\n" * 200 + "---\n" + "夜来风雨声\n" * 200)
    separator = ("--set", "corpus_options.song_separator")
    command("corpora", "add", "apart", written, "--song-separator", "---")
    command("corpora", "add", "whole", written)
    assert command("submit", "--corpus", "apart", separator[0], f"{separator[1]}=***").code == 0
    assert command("submit", "--corpus", "whole", separator[0], f"{separator[1]}=---").code == 0
    for corpus in ("whole", written):
        refused = command("submit", "--corpus", corpus, separator[0], f"{separator[1]}=***")
        assert refused.code == 1
        assert f"no line of '{corpus}' equals the song separator '***'" in refused.complaint


def test_corpus_path_of_a_job_file_is_beside_the_file(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "poem.txt").write_text("春眠不觉晓\n" * 500)
    (folder / "job.toml").write_text('corpus = "poem.txt"\n')
    monkeypatch.chdir(tmp_path)
    assert command("submit", "work/job.toml").code == 0


def test_a_path_outside_its_folder_that_a_job_file_names_is_told(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, private = tmp_path / "work", tmp_path / "private.txt"
    folder.mkdir()
    for place in (private, folder / "own.txt"):
        place.write_text("春眠不觉晓\n" * 500)
    (folder / "link.txt").symlink_to(private)
    monkeypatch.chdir(tmp_path)
    file = folder / "job.toml"
    waits = "no worker is running: start one with `versemill worker`\n"
    message = f"job file work/job.toml has its corpus read from {private}\n"
    for corpus in (
        str(private),
        "../private.txt",
        "link.txt",
        "private.txt",
        str(folder / "own.txt"),
    ):
        file.write_text(f'corpus = "{corpus}"\n')
        named = command("submit", "work/job.toml")
        assert named.code == 0, named.err
        assert named.err == ("" if "own" in corpus else message) + waits
        assert command("submit", "work/job.toml", "--corpus", private).err == waits
        assert command("submit", "work/job.toml", "--set", f"corpus={private}").err == waits
    file.write_text(f'corpus = "jaychou"\n[corpus_options]\npath = "{private}"\n')
    assert command("submit", "work/job.toml").err == message + waits
    given = command("submit", "work/job.toml", "--set", f"corpus_options.path={folder / 'own.txt'}")
    assert given.err == waits


def test_a_path_outside_is_told_however_its_characters_are_composed(
    command: Any, tmp_path: Path
) -> None:
    folder, private = tmp_path / "work", tmp_path / "café.txt"
    folder.mkdir()
    private.write_text("春眠不觉晓\n" * 500)
    (tmp_path / "cafe\u0301s.txt").write_text("春眠不觉晓\n" * 500)
    file = folder / "job.toml"
    file.write_text(
        'corpus = "jaychou"\n[corpus_options]\npath = "%s"\n' % (tmp_path / "cafe\u0301.txt")
    )
    assert f"has its corpus read from {private}\n" in command("submit", file).err
    file.write_text('corpus = "../cafe\u0301s.txt"\n')
    assert "has its corpus read from" in command("submit", file).err


@pytest.mark.parametrize("written", ["gedichte-fu\u0308r.txt", "gedichte-f\u00fcr.txt"])
def test_a_path_option_finds_a_file_whose_name_is_decomposed(
    command: Any, tmp_path: Path, written: str
) -> None:
    folder, work = tmp_path / "Bu\u0308cher", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    found = folder / "gedichte-fu\u0308r.txt"
    found.write_text("春眠不觉晓\n" * 500)
    place = tmp_path / "B\u00fccher" / written
    given = command("submit", "--corpus", "jaychou", "--set", f"corpus_options.path={place}")
    assert given.code == 0, given.err
    assert command("submit", "--from", "1").code == 0
    file = work / "job.toml"
    file.write_text(f'corpus = "jaychou"\n[corpus_options]\npath = "{place}"\n')
    named = command("submit", file)
    assert named.code == 0, named.err
    assert f"has its corpus read from {found}\n" in named.err


def test_epochs_to_add_need_a_job(command: Any) -> None:
    done = command("submit", "--epochs", "+5")
    assert done.code == 2
    assert "+5" in done.complaint


BAD = {
    "corpus": (["--corpus", "starter-zhh"], ["'starter-zhh'", "starter-en", "'starter-zh'?"]),
    "cell": (["--cell", "lstmm"], ["gru, lstm, rnn", "did you mean 'lstm'?"]),
    "sampler": (["--sampler", "randm"], ["consecutive, random", "'random'?"]),
    "tokenizer": (["--tokenizer", "chars"], ["char"]),
    "recipe": (["--recipe", "clasic"], ["classic, default"]),
    "setting": (["--set", "training.epoch=5"], ["training.epoch", "'epochs'?"]),
    "section": (["--set", "trainin.epochs=5"], ["trainin", "'training'?"]),
    "negative": (["--set", "training.window=-1"], ["training.window", "-1", "greater than 0"]),
    "zero": (["--set", "model.hidden_size=0"], ["model.hidden_size", "greater than 0"]),
    "word": (["--set", "training.epochs=many"], ["'many'", "a whole number"]),
    "fraction": (["--set", "training.epochs=2.5"], ["2.5", "a whole number"]),
    "nan": (["--set", "training.learning_rate=nan"], ["nan", "a finite number"]),
    "date": (["--set", "training.epochs=2026-01-01"], ["JSON values only"]),
    "too-short": (["--set", "training.batch_size=9999"], ["training.batch_size", "at least"]),
    "memory": (["--set", "model.hidden_size=9000000"], ["model.hidden_size", "GiB"]),
    "name-digits": (["--name", "12"], ["'12'", "not only digits"]),
    "name-empty": (["--name", ""], ["name"]),
    "decoder": (["--set", 'generation.decoders=["greed"]'], ["'greed'", "'greedy'?"]),
    "no-path": (["--corpus", "./nothing.txt"], ["nothing.txt", "check the path"]),
    "jaychou": (["--corpus", "jaychou"], ["jaychou_lyrics.txt.zip", "corpora"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line_and_nothing_is_queued(
    command: Any, queue: Any, case: str
) -> None:
    arguments, words = BAD[case]
    done = command("submit", *arguments)
    assert done.code == 1
    assert all(word in done.complaint for word in words), done.err
    assert done.out == ""
    assert service.jobs(queue.store) == []


def test_a_name_taken_is_refused(command: Any) -> None:
    command("submit", "--name", "one")
    assert "no other job" in command("submit", "--name", "one").complaint


BAD_FILES = {
    "not-utf8": (b"name = '\xff'", "offset 8"),
    "not-toml": (b"name = \n", "not valid TOML"),
    "deep": (b"a = " + b"[" * 5000, "more than 16 levels of lists or tables"),
    "dotted": (b".".join([b"a"] * 50_000) + b" = 1", "a key has more than 16 parts"),
    "large": (b"#" * 1_000_001, "more than 1,000,000 bytes"),
    "number": (b"training.epochs = 0x" + b"f" * 5000, "at most 256 bits"),
    "name-number": (b"name = 5", "name"),
    "unknown": (b"cel = 'gru'", "'cell'?"),
    "table": (b"training = 5", "[training]"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_job_file(command: Any, tmp_path: Path, case: str) -> None:
    content, words = BAD_FILES[case]
    file = tmp_path / "job.toml"
    file.write_bytes(content)
    done = command("submit", file)
    assert done.code == 1
    assert words in done.complaint


def test_no_job_file(command: Any, tmp_path: Path) -> None:
    done = command("submit", tmp_path / "none.toml")
    assert done.code == 1
    assert "none.toml cannot be read: No such file" in done.complaint
    assert command("submit", tmp_path).code == 1


BAD_TEXTS = {
    "empty": (b"", "empty"),
    "unsure": (b"caf\xe9\n" * 9, "cannot be recognised with certainty"),
    "short": ("一二三".encode(), "characters"),
    "binary": (b"\x00\x01\x02" * 900, "binary"),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_a_bad_text(command: Any, tmp_path: Path, case: str) -> None:
    content, words = BAD_TEXTS[case]
    file = tmp_path / "text.txt"
    file.write_bytes(content)
    done = command("submit", "--corpus", file)
    assert done.code == 1
    assert words in done.complaint


@pytest.mark.parametrize("names", [(), ("a.txt", "b.txt")])
def test_a_zip_with_no_or_several_texts(command: Any, tmp_path: Path, names: Any) -> None:
    import zipfile

    file = tmp_path / "texts.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    done = command("submit", "--corpus", file)
    assert done.code == 1
    assert "texts.zip" in done.complaint


def test_a_dead_broker_costs_a_remark_and_no_job(
    command: Any, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERSEMILL_BROKER_URL", "redis://:secret@127.0.0.1:1/0")
    done = command("submit", "--name", "safe")
    assert done.code == 0
    assert "the job is safe" in done.err
    assert "secret" not in done.err
    assert service.find(queue.store, "safe").state == "queued"


def test_a_job_file_may_begin_with_a_byte_order_mark(
    command: Any, queue: Any, tmp_path: Path
) -> None:
    file = tmp_path / "job.toml"
    file.write_bytes(b"\xef\xbb\xbfname = 'marked'\ncell = 'rnn'\n")
    assert command("submit", file).code == 0
    assert service.find(queue.store, "marked").cell == "rnn"


@pytest.mark.parametrize(
    "value",
    [".".join("a" * 50_000) + "=1}", "[" * 5_000, "#" * 1_000_001],
    ids=["dotted", "deep", "large"],
)
def test_a_value_of_set_is_bounded_like_a_job_file(
    command: Any, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    import tomllib

    monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("it was parsed"))
    done = command("submit", "--set", "model.layers={" + value)
    assert done.code == 1
    assert "more than" in done.complaint
    assert len(done.complaint) < 500


class TestForms:
    """Text from options, job files, the environment and Python is the same characters."""

    COMPOSED, DECOMPOSED = "café", "cafe\u0301"

    def test_names_and_prefixes_are_composed(
        self, command: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VERSEMILL_USER", self.DECOMPOSED)
        file = tmp_path / "job.toml"
        file.write_text(f'name = "{self.DECOMPOSED}"\nprefixes = ["{self.DECOMPOSED}\\r\\nla"]\n')
        assert command("submit", file).code == 0
        assert command("submit", "--prefix", f"{self.DECOMPOSED}\r\nla").code == 0
        for key in (self.COMPOSED, "@last"):
            assert config_of(queue, key)["prefixes"] == [f"{self.COMPOSED}\nla"]
        assert command("submit", "--name", self.COMPOSED).code == 1
        for user in (self.COMPOSED, self.DECOMPOSED):
            monkeypatch.setenv("VERSEMILL_USER", user)
            mine = command("jobs", "--mine", "--json").json
            assert {job["owner"] for job in mine} == {self.COMPOSED}
            assert len(mine) == 2

    def test_a_corpus_file_is_opened_by_the_name_that_it_has(
        self, command: Any, queue: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / f"{self.DECOMPOSED}.txt"
        path.write_text("春眠不觉晓\n" * 500)
        assert command("submit", "--corpus", path).code == 0
        assert config_of(queue)["corpus"].endswith(f"/{self.COMPOSED}.txt")
        assert command("corpora", "add", self.DECOMPOSED, path).code == 0
        assert command("submit", "--corpus", self.COMPOSED).code == 0
        assert command("submit", "--corpus", self.DECOMPOSED).code == 0
        assert command("corpora", "remove", self.DECOMPOSED).code == 1
        assert command("corpora", "show", self.DECOMPOSED).code == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ("submit", "--name", "caf\udce9"),
            ("submit", "--prefix", "caf\udce9"),
            ("submit", "--set", "corpus=caf\udce9"),
            ("submit", "caf\udce9.toml"),
            ("corpora", "add", "mine", "caf\udce9.txt"),
            ("corpora", "show", "caf\udce9"),
            ("generate", "caf\udce9"),
            ("show", "caf\udce9"),
            ("caf\udce9",),
        ],
    )
    def test_an_argument_that_is_no_text_is_refused_in_one_line(
        self, command: Any, arguments: tuple[str, ...]
    ) -> None:
        done = command(*arguments)
        assert done.code == 1
        assert "\\udce9" in done.complaint
        assert "is not valid UTF-8; write it in UTF-8" in done.complaint

    @pytest.mark.parametrize("value", ["caf\udce9", "a\nb", "a\x1b[2J", "e" + "\u0301" * 200_000])
    @pytest.mark.parametrize("arguments", [("jobs", "--mine"), ("jobs",), ("submit",), ("doctor",)])
    def test_a_variable_that_is_no_text_is_told_in_one_line(
        self,
        command: Any,
        monkeypatch: pytest.MonkeyPatch,
        value: str,
        arguments: tuple[str, ...],
    ) -> None:
        monkeypatch.setenv("VERSEMILL_USER", value)
        done = command(*arguments)
        assert done.code == 1
        assert "VERSEMILL_USER" in done.out + done.err
        assert "Traceback" not in done.err

    def test_a_password_in_a_variable_is_not_shown(
        self, command: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VERSEMILL_DATABASE_URL", "postgresql://me:secret\udce9@host/db")
        done = command("jobs")
        assert "VERSEMILL_DATABASE_URL" in done.complaint
        assert "secret" not in done.complaint


class TestStandardInput:
    def test_a_job_says_where_its_text_came_from(
        self, command: Any, queue: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = io.TextIOWrapper(io.BytesIO("春眠不觉晓\n".encode() * 500))
        monkeypatch.setattr(sys, "stdin", stream)
        assert command("submit", "--corpus", "-", "--cell", "rnn").code == 0
        job = service.find(queue.store, "@last")
        assert (job.name, job.corpus) == (f"stdin-rnn-{job.id}", "standard input")
        assert config_of(queue)["corpus"] == "standard input"


def test_a_field_of_a_job_is_used_and_kept(command: Any, queue: Any, tmp_path: Path) -> None:
    record = '{"title": "a", "body": ["' + '", "'.join(["春眠不觉晓"] * 200) + '"]}\n'
    (tmp_path / "songs.jsonl").write_text(record * 9)
    file = tmp_path / "job.toml"
    file.write_text('corpus = "songs.jsonl"\n')
    refused = command("submit", file)
    assert "name one with --field, or as field in [corpus_options]" in refused.complaint
    file.write_text('corpus = "songs.jsonl"\n[corpus_options]\nfield = "body"\n')
    assert command("submit", file).code == 0
    assert config_of(queue)["text"]["field"] == "body"
    refused = command("submit", "--set", "corpus_options.field=body")
    assert "corpus_options.field = 'body' is not allowed: only for JSON" in refused.complaint


class TestStoredText:
    """`text` in a job file names a text that is stored, by its hash."""

    def test_it_stands_for_the_corpus(self, command: Any, queue: Any, tmp_path: Path) -> None:
        command("submit", "--set", "corpus_options.first=5000", "--name", "one")
        file = tmp_path / "again.toml"
        file.write_text(command("show", "one", "--toml").out)
        again = service.details(queue.store, command("submit", file, "--json").json["id"])
        one = service.details(queue.store, 1)
        assert (again.config, again.content_hash) == (one.config, one.content_hash)

    def test_another_corpus_replaces_it(self, command: Any, queue: Any, tmp_path: Path) -> None:
        command("submit", "--name", "one")
        file = tmp_path / "again.toml"
        file.write_text(command("show", "one", "--toml").out)
        other = ("--corpus", "starter-en", "--set", "prefixes=[]")
        for number, options in enumerate((other, ("--set", "corpus=starter-en", *other[2:])), 2):
            assert command("submit", file, *options).code == 0
            found = service.details(queue.store, number)
            assert found.config["corpus"] == "starter-en"
            assert found.content_hash != service.details(queue.store, 1).content_hash
        done = command("submit", file, "--array", "corpus=starter-zh,starter-en")
        assert done.code == 0, done.err

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("7", "text = 7 is not allowed: sha256:"),
            ('"sha256:0"', "sha256: and the 64 digits of a stored text"),
            (f'"sha256:{"0" * 64}"', "no text named"),
        ],
    )
    def test_what_is_no_stored_text_is_refused(
        self, command: Any, queue: Any, tmp_path: Path, text: str, why: str
    ) -> None:
        file = tmp_path / "job.toml"
        file.write_text(f"text = {text}\n")
        assert why in command("submit", file).complaint
        assert service.jobs(queue.store) == []

    def test_json_and_toml_exclude_each_other(self, command: Any) -> None:
        assert command("show", "1", "--json", "--toml").code == 2
