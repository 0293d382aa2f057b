"""A drawing as matplotlib draws it for a paper: PDF, PNG, SVG at a column's width, text as text, the same bytes.

matplotlib is an extra, and imported on first use. `STYLE` is all there is of style, for figures of your own too.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import UsageError
from robustbench_lite.figures._page import as_svg
from robustbench_lite.figures._paper import EDGE, LINE, Keys, Place, folded, laid
from robustbench_lite.figures.drawing import Drawing
from robustbench_lite.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

__all__ = ["COLUMN", "FORMATS", "STYLE", "drawn", "picture", "written"]

COLUMN = 3.25  # inches: one of two columns of ICML and CVPR
FORMATS = (".pdf", ".png", ".svg")
STYLE: Any = {
    "pdf.fonttype": 42,  # TrueType: text that a reader can search and a publisher accepts, no outlines
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "robustbench_lite",  # or names of parts are new each time
    "text.parse_math": False,  # a name with a dollar is a name
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that it is the same everywhere
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.4,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "lines.linewidth": 1.1,
    "lines.markersize": 3,
    "image.interpolation": "none",  # exact pixels
    "savefig.dpi": 300,
    "figure.dpi": 150,
}


def drawn(drawing: Drawing, suffix: str, width: float | None = None) -> str | bytes:
    """The drawing as a file with this suffix; SVG (or no suffix) without a width is the page's. Raises UsageError."""
    if width is None and suffix in {"", ".svg"}:
        return as_svg(drawing)
    if suffix not in FORMATS:
        raise UsageError(f"expected a figure as {', '.join(FORMATS)}, got '{suffix}'")
    return written(drawing, picture(drawing, width or COLUMN), suffix)


def picture(drawing: Drawing, width: float = COLUMN) -> Picture:
    """The drawing as a matplotlib Figure, `width` inches wide. Raises UsageError where matplotlib is not installed."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "figures for papers need matplotlib, which is not installed; pip install 'robustbench-lite[plot]', "
            "or write .svg without a width, which needs nothing"
        ) from None
    with rc_context(STYLE):
        pages = [laid(block, width) for block in drawing.blocks]
        keys, notes = Keys.of(drawing.keys, width), folded(drawing.notes, width)
        heading = folded([drawing.heading] if drawing.heading else [], width)
        height = sum(page.height for page in pages) + keys.height + LINE * (len(notes) + len(heading)) + 2 * EDGE
        found = Figure(figsize=(width, height))
        at = Place(found, height - EDGE)
        at.text(heading)
        for page in pages:
            page.draw(at)
        keys.draw(at)
        at.text(notes)
    return found


def written(drawing: Drawing, found: Picture, suffix: str) -> bytes:
    """A picture as a file of this kind, the same bytes each time: no date, no random names."""
    from matplotlib import rc_context

    told: dict[str, dict[str, Any]] = {
        ".pdf": {"Title": visible(drawing.title), "Subject": visible(drawing.says), "CreationDate": None},
        ".png": {"Title": visible(drawing.title), "Description": visible(drawing.says), "Software": None},
        ".svg": {"Title": visible(drawing.title), "Description": visible(drawing.says), "Date": None},
    }
    file = io.BytesIO()
    with rc_context(STYLE):
        found.savefig(file, format=suffix[1:], metadata=told[suffix])
    return file.getvalue()
