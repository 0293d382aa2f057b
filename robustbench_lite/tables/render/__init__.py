"""Tables as text, Markdown, LaTeX, CSV and JSON; every name is escaped for the format that it reaches."""

from __future__ import annotations

from collections.abc import Callable

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.tables.base import Table
from robustbench_lite.tables.render.latex import latex
from robustbench_lite.tables.render.markdown import markdown
from robustbench_lite.tables.render.programs import as_csv, as_json
from robustbench_lite.tables.render.shape import chosen, constant, constants, transposed, without, without_intervals
from robustbench_lite.tables.render.text import sentence, text
from robustbench_lite.text import TABLE_FORMATS

__all__ = [
    "chosen",
    "constant",
    "constants",
    "render",
    "sentence",
    "transposed",
    "without",
    "without_intervals",
]


def render(table: Table, style: str, width: int | None = None, *, color: bool = False) -> str:
    """The table in one of `TABLE_FORMATS`, ending with a newline. Raises UsageError for another.

    `width`: of the terminal; text folds, leaves out (and says so) and stacks until no line is wider. `color`: text dims
    what is published, and what does not stand is red.
    """
    if style == "text":
        return text(table, width, color=color)
    writers: dict[str, Callable[[Table], str]] = {
        "markdown": markdown,
        "latex": latex,
        "csv": as_csv,
        "json": as_json,
    }
    if style not in writers:
        raise UsageError(f"unknown format '{style}'{did_you_mean(style, TABLE_FORMATS)}")
    return writers[style](table)
