"""`corpora`: a text becomes a corpus without any code."""

from __future__ import annotations

import gzip
import io
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from readings import zipped
from versemill.config.validation import NoOptions
from versemill.jobs import service
from versemill.jobs.service import corpora
from versemill.jobs.states import State
from versemill_plugins.corpora.starter import chinese

if TYPE_CHECKING:
    from pathlib import Path

LYRICS = "\n---\n".join(chinese(NoOptions()).songs)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.txt"


class TestList:
    def test_has_plugins_and_added_ones(self, command: Any, file: Path) -> None:
        file.write_text("一首\n---\n二首\n")
        added = command("corpora", "add", "诗集", file, "--song-separator", "---")
        assert added.out == "corpus 诗集: 4 characters, 2 songs, read as UTF-8\n"
        rows = {row["name"]: row for row in command("corpora", "list", "--json").json}
        assert {"starter-zh", "starter-en", "jaychou", "诗集"} == rows.keys()
        assert (rows["诗集"]["characters"], rows["诗集"]["songs"]) == (4, 2)
        assert "诗集" in command("corpora", "list").out


class TestAdd:
    def test_a_plugins_name_cannot_be_taken(self, command: Any, file: Path) -> None:
        file.write_text("text")
        done = command("corpora", "add", "starter-zh", file)
        assert done.code == 1
        assert "starter-zh" in done.complaint

    @pytest.mark.parametrize("encoding", ["gbk", "gb18030", "big5", "utf-16-le"])
    def test_a_guess_is_told_with_how_it_reads(
        self, command: Any, file: Path, encoding: str
    ) -> None:
        text = "".join(c for c in LYRICS if c.encode(encoding, "ignore"))
        file.write_bytes(text.encode(encoding))
        done = command("corpora", "add", "mine", file)
        assert done.code == 0, done.err
        name = "GB18030" if encoding == "gbk" else encoding.upper()
        first, guess, advice, *_ = done.out.splitlines()
        assert first.endswith(f", read as {name}")
        assert guess == f"the encoding is a guess; the text begins: {_beginning(text)}"
        assert "--encoding" in advice
        assert command("corpora", "show", "mine", "--json").json["characters"] == len(text)

    def test_what_is_certain_is_no_guess(self, command: Any, file: Path) -> None:
        file.write_bytes(LYRICS.encode("utf-16"))
        done = command("corpora", "add", "mine", file)
        assert done.out.splitlines()[0].endswith(", read as UTF-16")
        assert "guess" not in done.out

    def test_an_encoding_decides_what_cannot_be_told(self, command: Any, file: Path) -> None:
        file.write_bytes("春眠不觉晓".encode("gbk"))
        refused = command("corpora", "add", "mine", file)
        assert refused.code == 1
        assert "gb18030 (春眠不觉晓…)" in refused.complaint
        done = command("corpora", "add", "mine", file, "--encoding", "GBK")
        assert done.out == "corpus mine: 5 characters, no song boundaries, read as GB18030\n"
        assert "春眠不觉晓" in command("corpora", "show", "mine").out

    @pytest.mark.parametrize("encoding", ["klingon", "utf-16-le"])
    def test_a_wrong_encoding(self, command: Any, file: Path, encoding: str) -> None:
        file.write_bytes("春眠不觉晓a".encode("gbk"))
        done = command("corpora", "add", "mine", file, "--encoding", encoding)
        assert done.code == 1
        assert ("gb18030" if encoding == "klingon" else "UTF-16-LE") in done.complaint

    def test_newlines(self, command: Any, file: Path) -> None:
        file.write_text("春眠\n不觉晓\n")
        assert command("corpora", "add", "mine", file, "--newlines", "space").code == 0
        assert "春眠 不觉晓" in command("corpora", "show", "mine").out
        assert command("corpora", "add", "mine", file, "--newlines", "tabs").code == 2

    def test_a_name_again_takes_another_text(self, command: Any, file: Path, queue: Any) -> None:
        file.write_text("春眠不觉晓\n" * 200)
        command("corpora", "add", "mine", file)
        command("submit", "--corpus", "mine", "--name", "old")
        again = command("corpora", "add", "mine", file)
        assert "another text" not in again.out
        file.write_text("处处闻啼鸟\n" * 200)
        done = command("corpora", "add", "mine", file)
        assert "mine stood for another text before; 1 job submitted with that text" in done.out
        assert "处处闻啼鸟" in command("corpora", "show", "mine").out
        command("submit", "--corpus", "mine", "--name", "new")
        texts = {
            job.name: service.text_by_hash(
                queue.store, service.details(queue.store, job.id).content_hash
            ).songs[0][:5]
            for job in service.jobs(queue.store)
        }
        assert texts == {"old": "春眠不觉晓", "new": "处处闻啼鸟"}

    def test_what_is_suspicious_is_told_at_once(self, command: Any, file: Path) -> None:
        file.write_text("春眠\ufffd不觉\u200b晓")
        done = command("corpora", "add", "mine", file)
        assert done.code == 0
        assert "`versemill corpora show mine`: characters lost" in done.out
        assert "invisible" in done.out


class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty"),
            (b"a", "is a single character, 'a'"),
            (bytes(range(256)) * 20, "looks like binary data"),
            (b"\x7fELF\x02\x01\x01" + bytes(500), "looks like binary data"),
        ],
        ids=["nothing", "one", "bytes", "program"],
    )
    def test_is_refused_in_a_line(
        self, command: Any, file: Path, content: bytes, words: str
    ) -> None:
        file.write_bytes(content)
        done = command("corpora", "add", "mine", file)
        assert done.code == 1
        assert words in done.complaint
        assert "mine" not in command("corpora", "list").out

    def test_a_gigabyte_is_refused_by_its_size(self, command: Any, file: Path) -> None:
        with file.open("wb") as opened:
            opened.truncate(1 << 30)
        done = command("corpora", "add", "mine", file)
        assert done.code == 1
        assert "1,073,741,824 bytes where 67,108,864 are allowed" in done.complaint

    def test_an_endless_line_is_taken_and_told(self, command: Any, file: Path) -> None:
        file.write_text("春眠不觉晓" * 40_000)
        done = command("corpora", "add", "mine", file)
        assert done.code == 0
        assert "the longest has 200,000" in done.out
        assert "add line ends where verses end" in command("corpora", "show", "mine").out


class TestShow:
    def test_a_plugins_corpus(self, command: Any) -> None:
        shown = command("corpora", "show", "starter-zh")
        assert " songs\n" in shown.out
        assert shown.out.endswith("nothing suspicious\n")
        figures = command("corpora", "show", "starter-zh", "--json").json
        assert figures["characters"] >= 15_000
        assert figures["songs"] >= 60
        assert figures["suspicious"] == []

    def test_a_path(self, command: Any, file: Path) -> None:
        file.write_text("春眠不觉晓\n")
        assert "春眠不觉晓" in command("corpora", "show", file).out

    def test_everything_and_how_to_mend_it(self, command: Any, file: Path) -> None:
        file.write_text("a\u200bb\n---\n春，眠,晓,\nla\nla\n---\n春，眠,晓,\nla\nla\n")
        command("corpora", "add", "mine", file, "--song-separator", "---")
        out = command("corpora", "show", "mine").out
        assert "mine: 27 characters (10 distinct), 0.0 KiB, 7 lines, 3 songs" in out
        assert "    6 characters, song 2, line 1: 春，眠,晓," in out
        assert "lines that repeat an earlier one: 4 (57%)" in out
        assert "    4 times: la" in out
        assert "songs that repeat an earlier one: 1" in out
        assert "suspicious: 1 × invisible characters" in out
        assert "    U+200B ZERO WIDTH SPACE 1 ×" in out
        assert r"    first in song 1, line 1: a\u200bb" in out
        assert "    delete them" in out
        assert "    ， (U+FF0C) 2 ×" in out
        assert "nothing suspicious" not in out

    def test_what_seems_to_stand_between_songs(self, command: Any, file: Path) -> None:
        file.write_text("春眠不觉晓\n---\n处处闻啼鸟\n---\n" + "雨" * 61 + "\n")
        out = command("corpora", "show", file).out
        assert "    2 times: ---\n" in out
        assert "likely separator: lines of ---, between 3 pieces; if these are songs, " in out
        assert out.count("--song-separator ---") == 1
        assert f"    61 characters, line 5: {'雨' * 60}…\n" in out
        file.write_text("la\nla\n")
        assert "likely separator" not in command("corpora", "show", file).out
        file.write_text("la\nla\n \nli\n\n\nlo\n")
        out = command("corpora", "show", file).out
        assert "likely separator: blank lines, between 3 pieces; if these are songs, add" in out
        assert "--song-separator ''" in out
        found = command("corpora", "show", file, "--json").json
        assert (found["likely_separator"], found["pieces"]) == ("", 3)

    @pytest.mark.parametrize("mark", ["***", "* *", "'", "——", "$("])
    def test_a_suggested_separator_can_be_given_as_it_is_shown(
        self, command: Any, file: Path, mark: str
    ) -> None:
        file.write_text(f"la\n{mark} \nli\n{mark}\nlo\n")
        (line,) = (
            each
            for each in command("corpora", "show", file).out.splitlines()
            if each.startswith("likely separator")
        )
        given = shlex.split(line.partition("add the text with ")[2])
        done = command("corpora", "add", "mine", file, *given)
        assert ", 3 songs, " in done.out

    def test_json_has_it_all(self, command: Any, file: Path) -> None:
        file.write_text("a\u200bb\nla\nla\n")
        shown = command("corpora", "show", file, "--json").json
        assert shown.keys() == {
            "name", "characters", "distinct_characters", "bytes", "songs", "lines",
            "content_hash", "sample", "longest_lines", "repeated_lines", "most_repeated",
            "repeated_songs", "suspicious", "likely_separator", "pieces",
        }  # fmt: skip
        assert (shown["bytes"], shown["sample"]) == (12, "a\u200bb\nla\nla\n")
        assert shown["most_repeated"] == [{"times": 2, "text": "la"}]
        (odd,) = shown["suspicious"]
        assert (odd["kind"], odd["times"], odd["found"]) == ("invisible", 1, {"\u200b": 1})
        assert odd["first"] == {"song": 1, "line": 1, "excerpt": "a\u200bb"}
        assert odd["mend"]

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [("春\ufffd晓", "ENCODING"), ("锟斤拷", "ENCODING"), ("a\ue000b", "big5hkscs")],
    )
    def test_a_wrong_encoding_is_corrected_by_a_command(
        self, command: Any, file: Path, text: str, encoding: str
    ) -> None:
        file.write_text(f"{text}\n" * 3)
        advised = f"`versemill corpora add NAME PATH --encoding {encoding}`"
        assert f": {advised}\n" in command("corpora", "show", file).out
        (odd,) = command("corpora", "show", file, "--json").json["suspicious"]
        assert odd["mend"].endswith(advised)

    def test_control_characters_do_no_harm(self, command: Any, file: Path) -> None:
        file.write_text("春眠\u202e不觉晓\n")
        out = command("corpora", "show", file).out
        assert "\u202e" not in out
        assert "U+202E RIGHT-TO-LEFT OVERRIDE" in out


class TestRemove:
    def test_once(self, command: Any, file: Path) -> None:
        file.write_text("text")
        command("corpora", "add", "a", file)
        assert command("corpora", "remove", "a").code == 0
        assert command("corpora", "remove", "a").code == 1

    def test_not_while_a_job_needs_it(self, command: Any, file: Path, queue: Any) -> None:
        file.write_text("春眠不觉晓\n" * 200)
        command("corpora", "add", "mine", file)
        command("submit", "--corpus", "mine", "--name", "waits")
        refused = command("corpora", "remove", "mine")
        assert refused.code == 1
        assert "job 1 (waits, queued)" in refused.complaint
        command("cancel", "waits")
        assert service.find(queue.store, "waits").state is State.CANCELLED
        assert command("corpora", "remove", "mine").code == 0


def _beginning(text: str) -> str:
    return " ".join(text.split("\n---\n", maxsplit=1)[0][:200].split())[:40]


class TestFormats:
    RECORDS = '{"title": "a", "body": ["la", "li"]}\n{"title": "b", "body": "lo lo"}\n'

    def test_a_field_is_asked_for_and_taken(self, command: Any, tmp_path: Path) -> None:
        file = tmp_path / "songs.jsonl"
        file.write_text(self.RECORDS)
        for action in (("add", "mine"), ("show",)):
            asked = command("corpora", *action, file)
            assert asked.code == 1
            assert "It has title, body; name one with --field" in asked.complaint
            assert command("corpora", *action, file, "--field", "body").code == 0
        assert command("corpora", "show", "mine", "--json").json["songs"] == 2

    def test_a_field_belongs_to_a_file(self, command: Any, file: Path) -> None:
        file.write_text("la la")
        command("corpora", "add", "mine", file)
        for name in ("mine", "starter-zh", file):
            done = command("corpora", "show", name, "--field", "text")
            assert done.code == 1
            assert "only for JSON and CSV" in done.complaint

    def test_standard_input_is_read(self, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for content, songs in ((self.RECORDS.encode(), 2), (b"la\n---\nli\n---\nlo", 3)):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
            options = ("--field", "body") if songs == 2 else ("--song-separator", "---")
            added = command("corpora", "add", "mine", "-", *options)
            assert f", {songs} songs, " in added.out
        row = command("corpora", "list", "--json").json[-1]
        assert (row["name"], row["summary"]) == ("mine", "standard input")
        monkeypatch.setattr(sys, "stdin", None)
        assert "it is closed" in command("corpora", "add", "mine", "-").complaint

    def test_a_guess_at_standard_input_says_what_was_guessed(
        self, command: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = io.TextIOWrapper(io.BytesIO(LYRICS.encode("gb18030")))
        monkeypatch.setattr(sys, "stdin", stream)
        done = command("corpora", "show", "-")
        assert done.err.startswith("standard input is read as GB18030, a guess; it begins: ")


CONTROLS = pytest.mark.parametrize(
    ("content", "taken"),
    [
        (b"one\ntwo\n\x1a", "one\ntwo\n"),
        (b"one\r\ntwo\r\n\x1a\x1a\x1a", "one\ntwo\n"),
        ("un été\r\nà\r\n\x1a".encode("cp1252"), "un été\nà\n"),
        (b"one\ftwo\n\fthree\n", "one\ntwo\n\nthree\n"),
        (b"one\r\r\ntwo\r\r\n\r\r\nthree\r\r\n", "one\ntwo\n\nthree\n"),
        ("一\r\r\n二\f三\r\n\x1a".encode("utf-16"), "一\n二\n三\n"),
    ],
    ids=["Ctrl-Z", "several", "cp1252", "form feed", "CR CR LF", "UTF-16"],
)


class TestControlCharacters:
    """What old programs left in a file: a page's end, the file's end, line ends converted twice."""

    @CONTROLS
    @pytest.mark.parametrize("way", ["file", "gz", "zip", "folder", "stdin"])
    def test_of_an_added_file(
        self,
        command: Any,
        file: Path,
        queue: Any,
        monkeypatch: pytest.MonkeyPatch,
        content: bytes,
        taken: str,
        way: str,
    ) -> None:
        place: object = self._put(file, content, way)
        if way == "stdin":
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
            place = "-"
        encoding = ("--encoding", "cp1252") if "é" in taken else ()
        done = command("corpora", "add", "mine", place, *encoding)
        assert done.code == 0, done.err
        (song,) = corpora.corpus_text(queue.store, "mine").songs
        assert song.rstrip("\n") == taken.rstrip("\n")

    def test_of_a_path_that_is_submitted(self, command: Any, file: Path, queue: Any) -> None:
        file.write_bytes(b"one\r\r\ntwo\fthree\r\n" * 50 + b"\x1a")
        done = command("submit", "--corpus", file)
        assert done.code == 0, done.err
        details = service.details(queue.store, 1)
        text = corpora.text_by_hash(queue.store, details.content_hash)
        assert text.songs == ("one\ntwo\nthree\n" * 50,)

    @staticmethod
    def _put(file: Path, content: bytes, way: str) -> Path:
        if way == "gz":
            target = file.with_name("a.txt.gz")
            target.write_bytes(gzip.compress(content))
            return target
        if way == "zip":
            return zipped(file.with_name("a.zip"), {"a.txt": content})
        if way == "folder":
            file = file.parent / "songs" / "a.txt"
            file.parent.mkdir()
        file.write_bytes(content)
        return file.parent if way == "folder" else file


class TestFolders:
    def test_the_files_that_are_not_utf8_are_named_and_skipped_ones_too(
        self, command: Any, tmp_path: Path
    ) -> None:
        folder = tmp_path / "songs"
        (folder / "sub").mkdir(parents=True)
        (folder / "a.txt").write_text("朝朝暮暮")
        (folder / "sub" / "b.txt").write_bytes("déjà vu, she said".encode("cp1252"))
        (folder / "notes.md").write_text("no")
        (folder / "out.txt").symlink_to("/etc/passwd")
        done = command("corpora", "add", "mine", folder)
        assert "'sub/b.txt' in the folder" in done.complaint
        assert "--encoding" in done.complaint
        done = command("corpora", "add", "mine", folder, "--encoding", "cp1252")
        first, skipped = done.out.splitlines()
        assert first.endswith("2 songs, read as CP1252 and UTF-8")
        assert skipped == (
            "skipped in the folder: links out of the folder, or to folders: 'out.txt'; "
            "other endings: 'notes.md'"
        )
        (folder / "sub" / "b.txt").write_text("déjà vu, she said")
        shown = command("corpora", "show", folder, "--json")
        assert shown.json["sample"] == "朝朝暮暮"
        assert shown.err == skipped + "\n"

    def test_guessed_files_are_named(self, command: Any, tmp_path: Path) -> None:
        for number, song in enumerate(chinese(NoOptions()).songs[:6]):
            content = song.encode("gbk") if number else song.encode()
            (tmp_path / f"{number}.txt").write_bytes(content)
        done = command("corpora", "add", "mine", tmp_path)
        assert "the encoding of '1.txt', '2.txt', '3.txt' and 2 more is a guess; " in done.out
        done = command("corpora", "show", tmp_path)
        assert "a guess of '1.txt', '2.txt', '3.txt' and 2 more; it begins" in done.err
