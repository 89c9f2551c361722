"""The curve as a PNG, with a font that can write the job's name."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from versemill.errors import VersemillError
from versemill.escaping import one_line
from versemill.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from versemill.jobs.views import CurvePoint, JobView

_FAMILIES = (  # known to have Chinese glyphs; looked for before every font is opened
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB", "Heiti SC",
    "STHeiti", "Microsoft YaHei", "SimHei", "Droid Sans Fallback", "Arial Unicode MS",
    "Noto Sans CJK JP", "Noto Serif CJK SC", "AR PL UMing CN", "Unifont",
)  # fmt: skip
INSTALL_FONT = (
    "install one, such as fonts-noto-cjk (Debian, Ubuntu) or google-noto-sans-cjk-fonts (Fedora)"
)
_DPI = 144


def draw(
    job: JobView,
    points: Sequence[CurvePoint],
    path: Path,
    *,
    fonts: Callable[[], Iterable[Any]] | None = None,
) -> str | None:
    """Draws the curve into a new PNG; an existing file is replaced when the new one is whole.

    Args:
        job: whose name becomes the title.
        points: at least one.
        path: where to.
        fonts: installed fonts as matplotlib lists them; asked of matplotlib by default.

    Returns:
        What to tell the user if the title could not be written whole.

    Raises:
        VersemillError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure_class, properties_class = matplotlib_classes()
    title, remark = f"job {job.id} · {one_line(job.name)}", None
    font = None
    if not job.name.isascii():
        font = find_font(set(title) - {" "}, installed_fonts() if fonts is None else fonts())
        if font is None:
            title = f"job {job.id} · {one_line(job.cell)}"
            remark = f"no font here can write {job.name!r}, so the title leaves it out; "
            remark += INSTALL_FONT
    figure = figure_class(figsize=(8, 4.5), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    _plot(axes, points)
    properties = properties_class(fname=font) if font else None
    axes.set_title(title, fontproperties=properties, parse_math=False)
    save(figure, path)
    return remark


def find_font(needed: Iterable[str], fonts: Iterable[Any]) -> str | None:
    """File of a font that has every character of `needed`; None if there is none."""
    known = {family: rank for rank, family in enumerate(_FAMILIES)}
    ordered = sorted(fonts, key=lambda f: (known.get(f.name, len(known)), f.weight != 400, f.fname))  # noqa: PLR2004 - regular
    codes = set(map(ord, needed))
    for entry in ordered:
        # A font of last resort claims every character and draws a box.
        if "lastresort" not in entry.name.replace(" ", "").lower() and codes <= _character_codes(
            entry.fname
        ):
            return str(entry.fname)
    return None


def installed_fonts() -> list[Any]:
    """The fonts that matplotlib knows of."""
    from matplotlib import font_manager

    return list(font_manager.fontManager.ttflist)


def _character_codes(file: str) -> set[int]:
    from matplotlib import font_manager

    try:
        return set(font_manager.get_font(file).get_charmap())
    except (OSError, RuntimeError):  # removed since it was listed, or malformed
        return set()


def matplotlib_classes() -> tuple[Any, Any]:
    """Matplotlib's `Figure` and `FontProperties`; raises `VersemillError` without matplotlib."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its cache, at length
    try:
        from matplotlib.figure import Figure
        from matplotlib.font_manager import FontProperties
    except ImportError:
        raise VersemillError(
            "a picture needs matplotlib, which is not installed; "
            "run `pip install 'versemill[plot]'`"
        ) from None
    return Figure, FontProperties


def _plot(axes: Any, points: Sequence[CurvePoint]) -> None:
    from matplotlib import ticker

    epochs = [point.epoch for point in points]
    marker = "o" if len(points) < 20 else None  # noqa: PLR2004 - few points are hard to see
    axes.plot(epochs, [p.train_perplexity for p in points], label="training", marker=marker)
    measured = [(p.epoch, p.valid_perplexity) for p in points if p.valid_perplexity is not None]
    if measured:
        few = "o" if len(measured) < 20 else None  # noqa: PLR2004
        axes.plot(*zip(*measured, strict=True), label="validation (held out)", marker=few)
        best = min(measured, key=lambda point: point[1] if math.isfinite(point[1]) else math.inf)
        axes.annotate(
            f"best {best[1]:.3g}",
            best,
            xytext=(0, -14),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ticker.LogFormatter())
    # A range of less than a decade has no label at all without minor ones.
    axes.yaxis.set_minor_formatter(ticker.LogFormatter(minor_thresholds=(2, 0.5)))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("perplexity per character")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()


def save(figure: Any, path: Path) -> None:
    """Writes a figure as a PNG; an existing file is replaced when the new one is whole."""
    with replacing(path) as file:
        figure.savefig(file, format="png")
