"""Formats with one clear meaning are read, others are refused with a next step."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from readings import MIB
from versemill.errors import ConfigError, CorpusError
from versemill.text import formats
from versemill.text.reading import read_any

if TYPE_CHECKING:
    from pathlib import Path

POEMS = [
    {"author": "某", "title": "无题", "paragraphs": ["窗外的雨，", "慢慢停。"]},
    {"author": "某", "rhythmic": "导引", "paragraphs": ["灯下写信。"]},
]
SONGS = ("窗外的雨，\n慢慢停。", "灯下写信。")


def songs(path: Path, content: str | bytes, **options: Any) -> tuple[str, ...]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_any(path, limit=MIB, **options).text.songs


def refusal(path: Path, content: str | bytes, **options: Any) -> str:
    with pytest.raises(CorpusError) as caught:
        songs(path, content, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2_000
    return str(caught.value)


# JSON


@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_layout_of_chinese_poetry_needs_no_options(tmp_path: Path, ascii_only: bool) -> None:
    content = json.dumps(POEMS, ensure_ascii=ascii_only, indent=2)
    assert songs(tmp_path / "poems.json", content) == SONGS
    lines = "\n\n".join(json.dumps(poem, ensure_ascii=ascii_only) for poem in POEMS)
    assert songs(tmp_path / "poems.JSONL", "\ufeff" + lines) == SONGS
    assert songs(tmp_path / "poems.ndjson", lines.encode("utf-16")) == SONGS


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('["la", "\\n\\nli\\r\\nlo\\n", " ", null]', ("la", "li\nlo")),
        ('[["la", "li"], "lo"]', ("la\nli", "lo")),
        ('{"lyrics": "la la", "year": 1999}', ("la la",)),
        ('[{"words": "la"}, {"words": null}, {"words": ["li", ""]}]', ("la", "li")),
        ('[{"text": "caf\\u0065\\u0301"}, {"lyrics": "la"}]', ("café", "la")),
    ],
)
def test_each_record_is_a_song(tmp_path: Path, content: str, expected: tuple[str, ...]) -> None:
    assert songs(tmp_path / "a.json", content) == expected


def test_a_field_may_be_named(tmp_path: Path) -> None:
    assert songs(tmp_path / "a.json", json.dumps(POEMS), field="author") == ("某", "某")
    content = '{"歌詞": "la la", "cafe\u0301": "li li"}'
    assert songs(tmp_path / "a.jsonl", content, field="歌詞") == ("la la",)
    assert songs(tmp_path / "a.jsonl", content, field="cafe\u0301") == ("li li",)


@pytest.mark.parametrize(
    ("content", "field", "words"),
    [
        ('[{"title": "t", "body": "la"}]', None, "It has title, body$"),
        ('[{"text": "la", "lyrics": "li"}]', None, "which field of record 1"),
        ('[{"text": "la"}, {"title": "li"}, {}]', "text", "record 2 of .* has no field 'text'; it"),
        ('[{"text": "la"}, {}]', None, "which field of record 2 .* It has none"),
        ('[{"text": "la"}, 3]', None, "record 2 of .* is a number, not a text"),
        ('{"text": {"de": "la"}}', None, "is an object with the fields de, not a text"),
        ('{"text": ["la", ["li"]]}', None, "is a list with a list in it"),
        ('{"text": ["la", 1]}', None, "is a list with a number in it"),
        ('{"text": true}', None, "is true or false"),
        ('{"text": "la", "text": "li"}', None, "the field 'text' twice"),
        ('{"text": "\\ud83d"}', None, "record 1 of .* not valid UTF-8"),
        ('{"text": "la\\u0000"}', None, r"record 1 of .* control character U\+0000"),
        ("[" * 100_000, None, "is not valid JSON: lists are nested too deeply"),
        ("[" + "1" * 5_000 + "]", None, "is not valid JSON"),
        ('["la"', None, "is not valid JSON"),
        ("[]", None, "is empty"),
        ('{"text": "a' + "\u0301" * 200_000 + '"}', None, "combining marks in a row"),
        ('{"text": "a' + "\\u0301" * 100_000 + '"}', None, "combining marks in a row"),
    ],
    ids=range(18),
)
def test_json_that_is_not_clear_is_refused(
    tmp_path: Path, content: str, field: str | None, words: str
) -> None:
    assert re.search(words, refusal(tmp_path / "a.json", content, field=field))
    if content.startswith("{") and len(content) < 1_000:
        assert "line 1 of" in refusal(tmp_path / "a.jsonl", content, field=field)


def test_a_document_of_too_many_lists_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats.json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    for content in ("[" + "[]," * 1_000_000 + "[]]", "[" + "1," * 4_000_001 + "1]"):
        with pytest.raises(CorpusError, match=r"too large a JSON document.*\.jsonl"):
            formats.songs_in(content, name="a", ending=".json", field=None)


# Tables


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'id,lyrics\r\n1,"la,\r\nli ""lo"""\r\n\r\n2,\r\n3,lu\r\n'),
        ("a.csv", 'id;lyrics\n1;"la,\nli ""lo"""\n3;lu'),
        ("a.tsv", 'id\tlyrics\n1\t"la,\nli ""lo"""\n3\tlu\n'),
    ],
)
def test_each_row_of_a_table_is_a_song(tmp_path: Path, name: str, content: str) -> None:
    assert songs(tmp_path / name, content) == ('la,\nli "lo"', "lu")
    assert songs(tmp_path / name, content, field="id")[0] == "1"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("title,body\na,b\n", "It has title, body$"),
        (
            "lyrics,id\nla, li,1\n",
            "line 2 of .* has 3 columns, the first row 2; put texts with ','",
        ),
        ("lyrics,id\nla\n", "line 2 of .* has 1 column, the first row 2"),
        ('lyrics\n"la"li\n', "is not valid CSV, at line 2"),
        ('lyrics\n"la\n', "is not valid CSV"),
        ("lyrics,lyrics\nla,li\n", "names a column twice"),
        ("lyrics\n", "is empty"),
    ],
)
def test_a_table_that_is_not_clear_is_refused(tmp_path: Path, content: str, words: str) -> None:
    assert re.search(words, refusal(tmp_path / "a.csv", content))


# Time stamps


def test_lrc_loses_times_and_tags(tmp_path: Path) -> None:
    content = (
        "[ti:夜]\n[ar: 某]\n[offset:+500]\n\n[00:01.50]窗外的雨\n[00:02]慢慢停\n[01:05.00]\n"
        "[00:09:10][01:20.000] [02:30.00] 等你 \n[00:11.00]<00:11.00>逐 <00:11.50>字\n没有时间\n"
    )
    expected = "窗外的雨\n慢慢停\n\n等你\n逐 字\n没有时间"
    assert songs(tmp_path / "a.lrc", content.encode("gb18030"), encoding="gbk") == (expected,)


def test_srt_loses_numbers_times_and_markup(tmp_path: Path) -> None:
    content = (
        "\ufeff1\r\n00:00:01,000 --> 00:00:03,500\r\n<i>the rain</i>\r\non the window\r\n\r\n"
        "2\r\n00:00:04.000 --> 00:00:05.000 X1:40\r\n{\\an8}42\r\n\r\n"
        '\r\n3\r\n00:00:06,000 --> 00:00:07,000\r\n<font color="red">a < b</font>\r\n'
    )
    assert songs(tmp_path / "a.srt", content) == ("the rain\non the window\n42\na < b",)


# Plain text


@pytest.mark.parametrize("name", ["a.txt", "a", "a.md", "a.lyrics"])
@pytest.mark.parametrize("content", ['["la"]', "[00:01.00]la", "a,b\n1,2", "<b>la</b>", "mustard"])
def test_anything_else_is_plain_text(tmp_path: Path, name: str, content: str) -> None:
    assert songs(tmp_path / name, content) == (content,)
    with pytest.raises(ConfigError, match="field = 'text' is not allowed: only for JSON and CSV"):
        songs(tmp_path / name, content, field="text")


# Formats that are not read


def archive(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        for name in names:
            packed.writestr(name, "la")
    return data.getvalue()


def tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as packed:
        packed.addfile(tarfile.TarInfo("a.txt"))
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"<!DOCTYPE html>\n<p>la",
            "is HTML, which is not read; save it as plain text, or `pandoc",
        ),
        (b"\xef\xbb\xbf\n <HTML lang='en'><body>la", "is HTML"),
        ("<?xml version='1.0'?>\n<html><body>la".encode("utf-16"), "is HTML"),
        (rb"{\rtf1\ansi la}", "is RTF, which is not read; save it as plain text"),
        (b"%PDF-1.7\n\x00\xff", "is PDF, which is not read; .*pdftotext"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00", "is an old Word document"),
        (archive("[Content_Types].xml", "word/document.xml", "a.txt"), "is a Word document"),
        (archive("mimetype", "META-INF/container.xml", "x.html"), r"is an e-book \(EPUB\)"),
        (archive("mimetype", "content.xml", "META-INF/manifest.xml"), "is an OpenDocument file"),
        (archive("[Content_Types].xml", "xl/workbook.xml"), "is an Excel table.* as CSV"),
        (b"BZh91AY&SYla", "is packed with bzip2, which is not read; unpack it first"),
        (b"\xfd7zXZ\x00la", "is packed with xz"),
        (b"7z\xbc\xaf\x27\x1cla", "is packed with 7z"),
        (b"Rar!\x1a\x07la", "is packed with RAR"),
        (tar(), "is a tar archive; unpack it, and give the folder"),
    ],
    ids=range(15),
)
@pytest.mark.parametrize("name", ["a", "a.txt", "a.docx", "a.epub", "a.json"])
def test_what_is_not_read_is_told_by_its_content(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    assert re.search(words, refusal(tmp_path / name, content))


@pytest.mark.parametrize("name", ["a.html", "a.HTM", "a.rtf", "a.pdf", "a.docx", "a.odt", "a.epub"])
def test_what_is_not_read_is_told_by_its_ending_too(tmp_path: Path, name: str) -> None:
    message = refusal(tmp_path / name, "la la")
    assert "which is not read" in message
    assert "plain text" in message or "copy its text" in message


# Without a name


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (json.dumps(POEMS), SONGS),
        (json.dumps(POEMS, indent=2), SONGS),
        ("\n".join(map(json.dumps, POEMS)), SONGS),
        (json.dumps({"text": "la " * 1000}) + '\n{"text": "li"}', ("la " * 1000, "li")),
        ("[ti:la]\n[00:01.00]la\n[00:02.00]li\n", ("la\nli",)),
        ("1\n00:00:01,000 --> 00:00:02,000\nla\n", ("la",)),
        ("[Chorus: all]\n[la la]\n", ("[Chorus: all]\n[la la]\n",)),
        ("a,b\n1,2\n", ("a,b\n1,2\n",)),
        ("{la}\n", ("{la}\n",)),
    ],
    ids=range(9),
)
def test_a_stream_is_recognised_by_its_content(
    tmp_path: Path, content: str, expected: tuple[str, ...]
) -> None:
    reading = read_any(tmp_path / "x", limit=MIB, stream=io.BytesIO(content.encode()))
    assert reading.text.songs == expected


def test_a_stream_with_a_field_may_be_a_table(tmp_path: Path) -> None:
    for content in ("id,body\n1,la\n", "id\tbody\n1\tla\n"):
        stream = io.BytesIO(content.encode())
        assert read_any(tmp_path, limit=MIB, stream=stream, field="body").text.songs == ("la",)
