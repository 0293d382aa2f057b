"""Tables as text, Markdown, LaTeX, CSV and JSON; every name is escaped for the format that it reaches."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import textwrap
import unicodedata
from typing import Literal

from robustbench_lite.table import Table, Value

__all__ = ["Format", "render"]

Format = Literal["text", "markdown", "latex", "csv", "json"]
_LONGEST = 60  # characters of one name in a text table
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "—": "---",
}  # fmt: skip


def render(table: Table, style: str, width: int | None = None) -> str:
    """The table in a format; `width` wraps the footnotes of text. Ends with a newline."""
    if style == "text":
        return _text(table, width or 120)
    return {"markdown": _markdown, "latex": _latex, "csv": _csv, "json": _json}[style](table)


def _titles(table: Table) -> list[str]:
    return [f"{column.title} ({column.unit})" if column.unit else column.title for column in table.columns]


def _visible(text: str) -> str:
    """Control and direction characters as their code points: a name cannot move the cursor or reverse the line."""
    return "".join(
        f"<U+{ord(char):04X}>" if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"} else char
        for char in text
    )


def _cut(text: str) -> str:
    text = _visible(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _wide(text: str) -> int:
    """Terminal columns: wide East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _text(table: Table, width: int) -> str:
    heads = [column.title for column in table.columns]
    units = [column.unit for column in table.columns]
    body = [[_cut(value.text) for value in row] for row in table.rows]
    widths = [max(map(_wide, cells)) for cells in zip(heads, units, *body, strict=True)]

    def line(cells: list[str]) -> str:
        parts = []
        for cell, column, size in zip(cells, table.columns, widths, strict=True):
            gap = " " * (size - _wide(cell))
            parts.append(gap + cell if column.numeric else cell + gap)
        return "  ".join(parts).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    top = [_visible(table.title), "", line(heads), *([line(units)] if any(units) else []), rule]
    notes = [part for note in table.footnotes for part in textwrap.wrap(_visible(note), max(40, width))]
    return "\n".join([*top, *map(line, body), rule, *notes]) + "\n"


def _markdown(table: Table) -> str:
    def escape(text: str) -> str:
        return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", _visible(text))

    def row(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"**{escape(table.title)}**", "", row([escape(title) for title in _titles(table)])]
    lines.append(row(["---:" if column.numeric else ":---" for column in table.columns]))
    lines += [
        row([f"*{escape(value.text)}*" if _shown_apart(value) else escape(value.text) for value in values])
        for values in table.rows
    ]
    return "\n".join([*lines, "", *(f"{escape(note)}\n" for note in table.footnotes)]) + "\n"


def _shown_apart(value: Value) -> bool:
    return value.kind == "published" and bool(value.text.strip())


def _latex(table: Table) -> str:
    def escape(text: str) -> str:
        return "".join(_LATEX.get(char, char) for char in _visible(text))

    def row(cells: list[str]) -> str:
        return f"{' & '.join(cells)} \\\\"

    spec = "".join("r" if column.numeric else "l" for column in table.columns)
    body = [
        row([f"\\textit{{{escape(value.text)}}}" if _shown_apart(value) else escape(value.text) for value in values])
        for values in table.rows
    ]
    notes = [f"% {_visible(note)}" for note in table.footnotes]
    lines = [f"% {_visible(table.title)}; needs booktabs", f"\\begin{{tabular}}{{{spec}}}", "\\toprule"]
    lines += [row([escape(title) for title in _titles(table)]), "\\midrule", *body, "\\bottomrule", "\\end{tabular}"]
    return "\n".join([*lines, *notes]) + "\n"


def _csv(table: Table) -> str:
    """One line per row; numeric columns become value, low, high, each in full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads: list[str] = []
    for column in table.columns:
        heads += [column.key, f"{column.key}_low", f"{column.key}_high"] if column.numeric else [column.key]
    writer.writerow([*heads, "kind"])
    for row in table.rows:
        fields: list[str] = []
        for value, column in zip(row, table.columns, strict=True):
            fields += (
                [_plain(part) for part in (value.value, value.low, value.high)]
                if column.numeric
                else [_inert(value.text)]
            )
        writer.writerow([*fields, "published" if any(value.kind == "published" for value in row) else "measured"])
    return out.getvalue()


def _plain(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(value)


def _inert(text: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    text = _visible(text).strip()
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def _json(table: Table) -> str:
    rows = [
        {column.key: _fields(value) for column, value in zip(table.columns, row, strict=True)} for row in table.rows
    ]
    content = {"name": table.name, "title": table.title, "footnotes": list(table.footnotes), "rows": rows}
    content["columns"] = [{"key": c.key, "title": c.title, "unit": c.unit} for c in table.columns]
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _fields(value: Value) -> dict[str, object]:
    numbers = {"value": value.value, "low": value.low, "high": value.high, "n": value.n}
    known = {key: part for key, part in numbers.items() if part is not None and math.isfinite(part)}
    return {"text": value.text, "kind": value.kind, **known, **({"note": value.note} if value.note else {})}
