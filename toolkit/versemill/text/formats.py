"""The text formats that are read, and those that are recognised and refused.

JSON and JSON lines, CSV and TSV, LRC and SubRip (SRT) are read. The ending of the file's name gives
the format; text without a name is recognised by its content. Anything else is plain text.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

from versemill.errors import ConfigError, CorpusError, TextError
from versemill.normalisation import cleaned
from versemill.phrases import counted, listed, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

TEXT_FIELDS = ("paragraphs", "lyrics", "text")
"""Fields that hold the text of a record, if none is named; it must have exactly one of them."""

READ_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".lrc", ".srt")
"""Endings of files that are not read as plain text."""

_MOST_LISTS, _MOST_COMMAS = 1_000_000, 4_000_000  # of one JSON document; bounds its memory
_START = 1000  # characters looked at to recognise a format
_HTML = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_JSON = re.compile(r'\s*(?:\[\s*["{]|\{\s*")')
_PANDOC = "save it as plain text, or `pandoc -t plain -o NEW.txt {}`"
_OFFICE = "save it as plain text, or `soffice --headless --convert-to txt:Text {}`"
_UNREAD = {
    "HTML": _PANDOC.format("FILE.html"),
    "RTF": _PANDOC.format("FILE.rtf"),
    "PDF": "copy its text into a file, or `pdftotext FILE.pdf NEW.txt`",
    "a Word document": _PANDOC.format("FILE.docx"),
    "an old Word document": _OFFICE.format("FILE.doc"),
    "an OpenDocument file": _PANDOC.format("FILE.odt"),
    "an e-book (EPUB)": _PANDOC.format("FILE.epub"),
    "an Excel table": "save the sheet as CSV",
}
_UNREAD_ENDINGS = {
    **dict.fromkeys((".html", ".htm", ".xhtml"), "HTML"),
    ".rtf": "RTF",
    ".pdf": "PDF",
    ".docx": "a Word document",
    ".doc": "an old Word document",
    ".odt": "an OpenDocument file",
    ".epub": "an e-book (EPUB)",
    ".xlsx": "an Excel table",
}
_UNREAD_ENTRIES = {  # what only archives of such a document hold
    "word/document.xml": "a Word document",
    "xl/workbook.xml": "an Excel table",
    "META-INF/container.xml": "an e-book (EPUB)",
    "META-INF/manifest.xml": "an OpenDocument file",
}
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"PK\x03\x04": "zip",
}
_BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")
_TAR = re.compile(rb".{257}ustar(?:\0|  \0)", re.DOTALL)
_STAMP = r"\[\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?\]"
_STAMPS = re.compile(rf"[ \t]*(?:{_STAMP}[ \t]*)+")
_WORD_STAMP = re.compile(r"<\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?>[ \t]?")
_LRC_TAG = re.compile(
    r"\[(?:ti|ar|al|au|by|re|ve|la|lr|id|tool|offset|length|#):[^\[\]]*\]\s*", re.IGNORECASE
)
_CUE = re.compile(r"\d{1,3}:\d\d:\d\d[,.]\d{1,3}[ \t]*-->[ \t]*\d{1,3}:\d\d:\d\d[,.]\d{1,3}[^\n]*")
_CUE_NUMBER = re.compile(r"\d{1,9}")
_CUE_MARKUP = re.compile(r"</?(?:[biu]|font)(?:[ \t][^<>\n]*)?>|\{\\an?\d\}", re.IGNORECASE)


def refuse_packed(name: str, data: bytes) -> None:
    """Raises `CorpusError` for bytes that are an archive or a document, saying what to do."""
    if data.startswith(b"%PDF-"):
        raise _unread(name, "PDF")
    if data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise _unread(name, "an old Word document")
    if _TAR.match(data):
        raise CorpusError(f"{name} is a tar archive; unpack it, and give the folder")
    packed = [kind for start, kind in _PACKED.items() if data.startswith(start)]
    if packed or _BZIP2.match(data):
        kind = packed[0] if packed else "bzip2"
        raise CorpusError(f"{name} is packed with {kind}, which is not read; unpack it first")


def document_in(entries: Collection[str], name: str) -> None:
    """Raises `CorpusError` if an archive with these entries is a document, saying what to do."""
    for entry, kind in _UNREAD_ENTRIES.items():
        if entry in entries:
            raise _unread(name, kind)


def songs_in(text: str, *, name: str, ending: str | None, field: str | None) -> list[str] | None:
    r"""The texts in a file that is not plain text.

    - `.json`: a list of texts or of objects, or one object; `.jsonl`: one to a line. Each is a
      song. An object's text is in `field`, or in the one of `TEXT_FIELDS` that it has: a text, or
      a list of lines. Other fields are left out, and so are records without text.
    - `.csv` (separated by commas or semicolons), `.tsv`: the first row names the columns; each row
      is a song.
    - `.lrc`, `.srt`: one song without time stamps, tags and numbers.

    Args:
        text: the content of the file, decoded.
        name: its name in messages.
        ending: of its name; None without a name: then the format is recognised.
        field: the field that holds the text of each record.

    Returns:
        The songs; None for plain text.

    Raises:
        CorpusError: it is malformed, or in a format that is not read.
        ConfigError: `field` is given, but the format has no records.
    """
    _refuse_markup(text, name, ending)
    kind = _recognised(text) if ending is None else ending
    if ending is None and not kind and field is not None:
        kind = ".tsv" if "\t" in text.partition("\n")[0] else ".csv"
    if kind in {".json", ".jsonl", ".ndjson"}:
        records = _json(text, name) if kind == ".json" else _json_lines(text, name)
        songs = list(_texts_of(records, name, field))
    elif kind in {".csv", ".tsv"}:
        songs = list(_texts_of(_rows(text, name, kind), name, field))
    else:
        if field is not None:
            raise ConfigError("field", field, f"only for JSON and CSV, which {name} is not")
        if kind == ".lrc":
            songs = [_clean("\n".join(_without_stamps(text)), name)]
        elif kind == ".srt":
            songs = [_clean("\n".join(_without_cues(text)), name)]
        else:
            return None
    return songs


def _unread(name: str, kind: str) -> CorpusError:
    return CorpusError(f"{name} is {kind}, which is not read; {_UNREAD[kind]}")


def _refuse_markup(text: str, name: str, ending: str | None) -> None:
    if _HTML.match(text[:_START]):
        raise _unread(name, "HTML")
    if text.startswith("{\\rtf"):
        raise _unread(name, "RTF")
    if ending in _UNREAD_ENDINGS:
        raise _unread(name, _UNREAD_ENDINGS[ending])


def _recognised(text: str) -> str:
    """The ending that text without a name would have; empty for plain text."""
    first, _, rest = text.lstrip().partition("\n")
    if _JSON.match(text):
        return ".jsonl" if rest.strip() and _is_json(first) else ".json"
    lines = rest[:_START].split("\n")
    if _CUE_NUMBER.fullmatch(first.strip()) and _CUE.match(rest):
        return ".srt"
    return ".lrc" if any(map(_STAMPS.match, [first[:_START], *lines])) else ""


def _is_json(line: str) -> bool:
    try:
        next(_json(line, ""))
    except (CorpusError, StopIteration):
        return False
    return True


def _json(text: str, name: str) -> Iterator[tuple[str, Any]]:
    """The records of one document, each with its place."""
    if text.count("[") + text.count("{") > _MOST_LISTS or text.count(",") > _MOST_COMMAS:
        raise CorpusError(
            f"{name} is too large a JSON document: at most {_MOST_LISTS:,} lists and objects and "
            f"{_MOST_COMMAS:,} commas; write a line for each record (.jsonl)"
        )
    content = _parsed(text, name)
    for number, record in enumerate(content if isinstance(content, list) else [content], 1):
        yield f"record {number:,}", record


def _json_lines(text: str, name: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number:,}", next(_json(line, f"line {number:,} of {name}"))[1]


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:  # a number, or lists in lists, without measure
        why = "lists are nested too deeply" if isinstance(error, RecursionError) else error
        raise CorpusError(
            f"{name} is not valid JSON: {why}; correct it, or give it the ending .txt if it is "
            "plain text"
        ) from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"an object has the field {shown(key)} twice")
        found[key] = value
    return found


def _rows(text: str, name: str, kind: str) -> Iterator[tuple[str, Any]]:
    """The rows of a table as records; the first one names the columns."""
    header_line = text.partition("\n")[0]
    semicolons = kind == ".csv" and "," not in header_line and ";" in header_line
    delimiter = "\t" if kind == ".tsv" else ";" if semicolons else ","
    rows = csv.reader(io.StringIO(text, newline="\n"), delimiter=delimiter, strict=True)
    try:
        header = [column.strip() for column in next(rows, [])]
        if len(set(header)) < len(header):
            raise CorpusError(f"{name} names a column twice in its first row: {listed(header)}")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise CorpusError(
                    f"line {rows.line_num:,} of {name} has {counted(len(row), 'column')}, the "
                    f"first row {len(header):,}; put texts with {shown(delimiter)} in quotes"
                )
            yield f"line {rows.line_num:,}", dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise CorpusError(
            f"{name} is not valid CSV, at line {rows.line_num:,}: {error}; correct it, or give it "
            "the ending .txt if it is plain text"
        ) from None


def _texts_of(records: Iterable[tuple[str, Any]], name: str, field: str | None) -> Iterator[str]:
    """The text of each record that has one."""
    for place, record in records:
        where = f"{place} of {name}"
        if isinstance(record, dict):
            key = _field_of(record, where, field)
            text = _text_of(record[key], f"field {shown(key)} of {where}")
        else:
            text = _text_of(record, where)
        if text.strip():
            yield _clean(text, where)


def _field_of(record: dict[str, Any], where: str, field: str | None) -> str:
    if field is not None:
        if field in record:
            return field
        raise CorpusError(
            f"{where} has no field {shown(field)}; it has {listed(list(record)) or 'none'}"
        )
    found = [key for key in TEXT_FIELDS if key in record]
    if len(record) == 1 and not found:
        found = list(record)
    if len(found) != 1:
        raise CorpusError(
            f"which field of {where} holds its text? It has {listed(list(record)) or 'none'}",
            reason="field-unsure",
        )
    return found[0]


def _text_of(value: object, where: str) -> str:
    """A text, or the lines of a list of texts; nothing for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    raise CorpusError(f"{where} is {_kind(value)}, not a text or a list of lines")


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return f"an object with the fields {listed(list(value)) or 'none'}"
    if isinstance(value, list):
        odd = next((each for each in value if not isinstance(each, str)), None)
        return f"a list with {'a list' if isinstance(odd, list) else _kind(odd)} in it"
    if isinstance(value, bool):
        return "true or false"
    return "null" if value is None else "a number"


def _without_stamps(text: str) -> Iterator[str]:
    """Lines of LRC without their times; tags such as `[ar:…]` are left out."""
    for line in text.split("\n"):
        if not _LRC_TAG.fullmatch(line.strip()):
            yield _WORD_STAMP.sub("", _STAMPS.sub("", line, count=1)).rstrip()


def _without_cues(text: str) -> Iterator[str]:
    """Lines of SubRip without numbers, times, markup and the blank lines between."""
    lines = [line.strip() for line in text.split("\n")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        numbered = _CUE_NUMBER.fullmatch(line) and _CUE.fullmatch(following)
        if line and not numbered and not _CUE.fullmatch(line):
            yield _CUE_MARKUP.sub("", line)


def _clean(song: str, where: str) -> str:
    try:
        return cleaned(song)
    except TextError as error:
        raise CorpusError(f"{where} is not text: {error.reason}") from None
