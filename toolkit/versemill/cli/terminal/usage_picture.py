"""Device hours as a PNG: a bar for each owner, device or week."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versemill.cli.terminal.curve_picture import (
    INSTALL_FONT,
    find_font,
    installed_fonts,
    matplotlib_classes,
    save,
)
from versemill.escaping import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from versemill.jobs.service.statistics import Statistics

_DPI = 144
_BARS = 40
"""Groups drawn: of more those with the most hours, of weeks the last."""


def draw(
    found: Statistics, path: Path, *, fonts: Callable[[], Iterable[Any]] | None = None
) -> str | None:
    """Draws device hours into a new PNG; an existing file is replaced when the new one is whole.

    Args:
        found: with at least one attempt.
        path: where to.
        fonts: installed fonts as matplotlib lists them; asked of matplotlib by default.

    Returns:
        What to tell the user if names could not be written; None if all is well.

    Raises:
        VersemillError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure_class, properties_class = matplotlib_classes()
    usages = list(found.groups if found.by else (found.total,))
    left_out = max(0, len(usages) - _BARS)
    if found.by == "week":
        usages = usages[-_BARS:]
    else:
        usages = sorted(usages, key=lambda usage: usage.cpu_hours + usage.gpu_hours)[-_BARS:]
    names = [one_line(usage.group) for usage in usages]
    remark, font = None, None
    needed = {character for name in names for character in name if not character.isascii()}
    if needed:
        font = find_font(needed, installed_fonts() if fonts is None else fonts())
        if font is None:
            remark = f"no font here can write all the names; {INSTALL_FONT}"
            names = [name.encode("ascii", "replace").decode() for name in names]
    figure = figure_class(figsize=(8, 1.5 + 0.3 * len(usages)), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    cpu = [usage.cpu_hours for usage in usages]
    places = range(len(usages))
    axes.barh(places, cpu, label="CPU")
    axes.barh(places, [usage.gpu_hours for usage in usages], left=cpu, label="GPU")
    properties = properties_class(fname=font) if font else None
    axes.set_yticks(places, names, fontproperties=properties, parse_math=False)
    axes.set_xlabel("device hours")
    more = f", {left_out} more left out" if left_out else ""
    axes.set_title(f"by {found.by}{more}" if found.by else "in all")
    axes.grid(visible=True, axis="x", alpha=0.3)
    axes.legend()
    save(figure, path)
    return remark
