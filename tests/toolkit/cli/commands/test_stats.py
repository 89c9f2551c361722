"""`stats` as a table, CSV, JSON and a picture."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from versemill.cli.terminal import usage_picture

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_nothing_yet(command: Any) -> None:
    said = command("stats")
    assert said.code == 0
    assert said.out.splitlines()[1].split() == [
        "all", "0.00", "h", "0.00", "h", "0.00", "h", "–", "0", "–", "–", "–",
    ]  # fmt: skip


def test_every_form_tells_the_same(command: Any, queue: Any) -> None:
    queue.finished("one")
    table = command("stats", "--by", "owner")
    assert [line.split()[0] for line in table.out.splitlines()] == ["OWNER", "ann", "all"]
    data = json.loads(command("stats", "--by", "owner", "--json").out)
    assert [group["group"] for group in data["groups"]] == ["ann"]
    rows = list(csv.DictReader(io.StringIO(command("stats", "--by", "owner", "--csv").out)))
    assert [row["owner"] for row in rows] == ["ann"]
    assert int(rows[0]["attempts"]) == data["total"]["attempts"] == 1


def test_two_forms_at_once_are_refused(command: Any) -> None:
    said = command("stats", "--csv", "--json")
    assert said.code == 2
    assert "--csv or --json, not both" in said.err


def test_a_picture_is_written(
    command: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_picture, "installed_fonts", list)
    path = tmp_path / "usage.png"
    refused = command("stats", "--png", path)
    assert refused.code == 1
    assert "nothing to draw" in refused.err
    queue.finished("one")
    drawn = command("stats", "--by", "owner", "--png", path)
    assert (drawn.code, drawn.out, drawn.err) == (0, "", f"wrote {path}\n")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_chinese_owner_without_a_font_is_remarked_on(
    command: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_picture, "installed_fonts", list)
    monkeypatch.setenv("VERSEMILL_USER", "张三")
    queue.finished("one")
    with queue.store.unit_of_work() as uow:
        from sqlalchemy import update

        from versemill.jobs.storage.tables import User

        uow.execute(update(User).values(name="张三"))
        uow.commit()
    drawn = command("stats", "--by", "owner", "--png", tmp_path / "usage.png")
    assert drawn.code == 0
    assert "fonts-noto-cjk" in drawn.err
