from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versemill.cli.commands.curve import ROWS
from versemill.cli.terminal import curve_picture
from versemill.jobs import service
from versemill.jobs.service.listings import spread

if TYPE_CHECKING:
    from pathlib import Path


def test_curve_as_json(command: Any, queue: Any) -> None:
    queue.finished("done", epochs=2)
    first, second = command("curve", "done", "--json").json
    assert (
        first
        | {
            "epoch": 1,
            "step": 10,
            "train_perplexity": 101.0,
            "valid_perplexity": None,
            "characters_per_second": 1234.5,
        }
        == first
    )
    assert second["valid_perplexity"] == 105.0


def test_a_long_curve_is_thinned_to_a_screenful(command: Any, queue: Any) -> None:
    queue.finished("long", epochs=100)
    lines = command("curve", "long").out.splitlines()
    assert "30 of 100 reports" in lines[0]
    epochs = [int(line.split()[0]) for line in lines[2:-1]]
    assert len(epochs) == ROWS
    assert (epochs[0], epochs[-1]) == (1, 100)
    assert "training" in lines[-1]
    assert "validation (held out)" in lines[-1]


def test_thinning_shows_the_reports_themselves(queue: Any) -> None:
    claim = queue.finished("long", epochs=100)
    queue.finished("another", epochs=5)
    whole = service.curve(queue.store, claim.job_id)
    for most in (2, 30, 99, 100, 101):
        shown, count = service.thinned_curve(queue.store, claim.job_id, most)
        assert count == 100
        assert shown == [whole[place] for place in spread(100, most)]


@given(st.integers(0, 500))
def test_thinning_keeps_both_ends_and_order(count: int) -> None:
    kept = spread(count, ROWS)
    assert len(kept) == min(count, ROWS)
    assert kept == sorted(set(kept))
    everything = list(range(count))
    assert kept[:1] + kept[-1:] == everything[:1] + everything[-1:]


def test_bars_fall_with_perplexity(command: Any, queue: Any) -> None:
    queue.finished("done")
    bars = [line.count("█") for line in command("curve", "done").out.splitlines()[2:-1]]
    assert bars == sorted(bars, reverse=True)
    assert bars[-1] < bars[0]


def test_no_report_yet(command: Any, queue: Any) -> None:
    queue.submit("new")
    shown = command("curve", "new")
    assert shown.code == 1
    assert "has no report yet" in shown.complaint
    assert command("curve", "new", "--json").json == []


def points(queue: Any, name: str) -> tuple[Any, Any]:
    claim = queue.finished(name)
    return service.find(queue.store, name), service.curve(queue.store, claim.job_id)


def pixels(path: Path) -> Any:
    import matplotlib.image

    return matplotlib.image.imread(path)


@pytest.fixture
def chinese_font(tmp_path: Path) -> Any:
    """A font with the characters of 第一首, each a block, as matplotlib would list it."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for i, corner in enumerate([(50, 0), (50, 700), (950, 700), (950, 0)]):
        (pen.lineTo if i else pen.moveTo)(corner)
    pen.closePath()
    block = pen.glyph()
    glyphs = [".notdef", "block"]
    characters = {ord(c): "block" for c in "第一首 ·job0123456789"}
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap(characters)
    font.setupGlyf(dict.fromkeys(glyphs, block))
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 50)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Blocks", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    path = tmp_path / "blocks.ttf"
    font.save(path)
    return SimpleNamespace(name="Blocks", weight=400, fname=str(path))


def test_a_chinese_title_is_written_with_a_font_that_has_it(
    queue: Any, tmp_path: Path, chinese_font: Any
) -> None:
    job, curve = points(queue, "第一首")
    with_font, without = tmp_path / "with.png", tmp_path / "without.png"
    assert curve_picture.draw(job, curve, with_font, fonts=lambda: [chinese_font]) is None
    remark = curve_picture.draw(job, curve, without, fonts=list)
    assert remark is not None
    assert "第一首" in remark
    assert "install" in remark
    for path in (with_font, without):
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        image = pixels(path)
        assert image.shape[0] > 300
        assert image.shape[1] > 600
        assert image[..., :3].std() > 0.05  # not blank
    title = slice(0, 40)
    assert (pixels(with_font)[title] < 0.5).sum() > 2 * (pixels(without)[title] < 0.5).sum()


def test_the_command_writes_a_picture_and_says_so(
    command: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curve_picture, "installed_fonts", list)
    queue.finished("第一首")
    drawn = command("curve", "第一首", "--png", tmp_path / "curve.png")
    assert (drawn.code, drawn.out) == (0, "")
    remark, wrote = drawn.err.splitlines()
    assert "fonts-noto-cjk" in remark
    assert str(tmp_path / "curve.png") in wrote
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_a_fallback_font_does_not_count(chinese_font: Any) -> None:
    chinese_font.name = "Last Resort High-Efficiency"
    assert curve_picture.find_font("第", [chinese_font]) is None


def test_a_font_that_has_vanished_is_passed_over(chinese_font: Any, tmp_path: Path) -> None:
    gone = SimpleNamespace(name="SimHei", weight=400, fname=str(tmp_path / "gone.ttf"))
    assert curve_picture.find_font("第", [gone, chinese_font]) == chinese_font.fname


def test_a_picture_that_cannot_be_written_leaves_nothing(
    command: Any, queue: Any, tmp_path: Path
) -> None:
    queue.finished("done")
    drawn = command("curve", "done", "--png", tmp_path / "nowhere" / "curve.png")
    assert drawn.code == 1
    assert "No such file" in drawn.complaint


def test_a_picture_without_matplotlib_names_the_extra(
    command: Any, queue: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    queue.finished("done")
    drawn = command("curve", "done", "--png", tmp_path / "curve.png")
    assert drawn.code == 1
    assert "pip install 'versemill[plot]'" in drawn.complaint
