"""Tables as text, Markdown, LaTeX, CSV and JSON; every name is escaped for the format that it reaches."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.table import Column, Table, Value
from robustbench_lite.text import visible

__all__ = ["Format", "markdown_text", "render"]

Format = Literal["text", "markdown", "latex", "csv", "json"]
Row = tuple[Value, ...]
Part = tuple[list[str], list[Row]]  # what a heading says, and the rows below it
_EXTRA = ("low", "high", "n")  # fields of a number with an interval, beside its value
_LONGEST, _SHORTEST = 60, 15  # characters of one name in a text table, where there is room and where there is none
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\textquotedbl{}", "—": "---", "·": r"\textperiodcentered{}",
    "…": r"\ldots{}", "\0": "{}",
}  # fmt: skip


def render(table: Table, style: str, width: int | None = None, *, color: bool = False) -> str:
    """The table in a `Format`, ending with a newline. Raises UsageError for another.

    `width`: of the terminal; text shortens names and wraps footnotes to it. `color`: text dims what is published.
    """
    if style == "text":
        return _text(table, width, color)
    writers: dict[str, Callable[[Table], str]] = {"markdown": _markdown, "latex": _latex, "csv": _csv, "json": _json}
    if style not in writers:
        raise UsageError(f"unknown format '{style}'{did_you_mean(style, ['text', *writers])}")
    return writers[style](table)


def _shown(value: Value, column: Column, *, brief: bool = False) -> str:
    """What people read: labels of published rows say so. `brief` leaves the interval out."""
    text = f"{value.text}, published" if value.kind == "published" and not column.numeric else value.text
    text = text.partition(" [")[0] if brief and value.low is not None else text
    return visible(f"{text} {value.mark}" if value.mark else text)


def _titles(columns: list[Column]) -> list[str]:
    return [f"{column.title} ({column.unit})" if column.unit else column.title for column in columns]


def _parts(table: Table) -> Iterator[Part]:
    """Rows under their heading: the values of the group columns, said once. No group columns: one empty heading."""
    where = [i for i, column in enumerate(table.columns) if column.group]
    others = [i for i, column in enumerate(table.columns) if not column.group]
    for key, rows in groupby(table.rows, lambda row: tuple(row[i] for i in where)):
        pairs = zip(key, (table.columns[i] for i in where), strict=True)
        yield (
            [_remark(value, column) for value, column in pairs if value.text],
            [tuple(row[i] for i in others) for row in rows],
        )


def _remark(value: Value, column: Column) -> str:
    return f"{column.title} {visible(value.text)} {column.unit}".rstrip() if column.numeric else visible(value.text)


def _body(table: Table) -> list[Column]:
    return [column for column in table.columns if not column.group]


def _wide(text: str) -> int:
    """Terminal columns: wide East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _cut(text: str, size: int) -> str:
    """Shorten in the middle: names of variants differ at their ends."""
    if _wide(text) <= size:
        return text
    left, right = text[: len(text) // 2], text[len(text) // 2 :]
    while _wide(left) + _wide(right) > size - 1:
        left, right = (left[:-1], right) if _wide(left) > _wide(right) else (left, right[1:])
    return f"{left}…{right}"


def _pad(text: str, size: int, *, right: bool) -> str:
    gap = " " * (size - _wide(text))
    return gap + text if right else text + gap


def _align(cells: list[str]) -> list[str]:
    """Numbers above each other, whatever interval or mark follows them."""
    split = [cell.partition(" ") for cell in cells]
    size = max((_wide(head) for head, _, _ in split), default=0)
    tail = max((_wide(rest) for _, _, rest in split), default=0)
    return [
        _pad(head, size, right=True) + (f" {_pad(rest, tail, right=False)}" if tail else "") for head, _, rest in split
    ]


@dataclass(frozen=True)
class _Grid:
    """The body of a text table: per column its cells, aligned, and its width."""

    columns: list[Column]
    titles: list[str]
    cells: list[list[str]]
    widths: list[int]

    @property
    def total(self) -> int:
        return sum(self.widths) + 2 * (len(self.widths) - 1)

    def line(self, texts: list[str]) -> str:
        trio = zip(texts, self.columns, self.widths, strict=True)
        return "  ".join(_pad(_cut(text, size), size, right=column.numeric) for text, column, size in trio).rstrip()

    def lines(self) -> list[str]:
        return [self.line(list(texts)) for texts in zip(*self.cells, strict=True)]


def _grid(table: Table, parts: list[Part], room: int, *, brief: bool) -> _Grid:
    """Cells as they fit into `room`, as far as shortening names helps; labels below a heading are indented."""
    columns, rows = _body(table), [row for _, rows in parts for row in rows]
    cells = []
    for i, column in enumerate(columns):
        texts = [_shown(row[i], column, brief=brief) for row in rows]
        cells.append(_align(texts) if column.numeric else [_cut(text, _LONGEST) for text in texts])
    if cells and any(heading for heading, _ in parts):
        cells[0] = [f"  {text}" for text in cells[0]]
    titles = [column.title.partition(" [")[0] if brief else column.title for column in columns]
    heads = [max(_wide(title), _wide(column.unit)) for title, column in zip(titles, columns, strict=True)]
    widths = [max([head, *map(_wide, texts)]) for head, texts in zip(heads, cells, strict=True)]
    grid = _Grid(columns, titles, cells, widths)
    while grid.total > room:
        names = [i for i, c in enumerate(columns) if not c.numeric and widths[i] > max(_SHORTEST, heads[i])]
        if not names:
            break
        widths[max(names, key=lambda i: widths[i])] -= 1
    return grid


def _text(table: Table, width: int | None, color: bool) -> str:
    parts, notes, room = list(_parts(table)), list(table.footnotes), width or 10**6
    grid = _grid(table, parts, room, brief=False)
    if grid.total > room and any(column.interval for column in grid.columns):
        notes.append(f"intervals need {grid.total} columns; --format csv has them too")
        grid = _grid(table, parts, room, brief=True)
    units = [column.unit for column in grid.columns]
    head = [grid.line(grid.titles), *([grid.line(units)] if any(units) else [])]
    rule, wrap = "-" * grid.total, max(40, width or min(max(grid.total, 80), 120))
    body = _text_parts(parts, grid.lines(), wrap, color)
    wrapped = [line for note in notes for line in textwrap.wrap(visible(note), wrap, subsequent_indent="  ")]
    return "\n".join([visible(table.title), "", *head, rule, *body, rule, *wrapped]) + "\n"


def _text_parts(parts: list[Part], lines: list[str], width: int, color: bool) -> Iterator[str]:
    ready = iter(lines)
    for i, (heading, rows) in enumerate(parts):
        if heading:
            yield from [""] if i else []
            cut = [_cut(text, _LONGEST) for text in heading]
            yield from textwrap.wrap(" · ".join(cut), width, subsequent_indent="    ")
        for row in rows:
            line = next(ready)
            yield f"{_DIM}{line}{_PLAIN}" if color and any(value.kind == "published" for value in row) else line


def markdown_text(text: str) -> str:
    """No markup, no HTML, no mention of a user."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return re.sub(r"([\\`*_\[\]|~]|#(?!64;))", r"\\\1", plain)


def _markdown(table: Table) -> str:
    columns, escape = _body(table), markdown_text

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def cell(value: Value, column: Column) -> str:
        text = escape(_shown(value, column))
        return f"*{text}*" if value.kind == "published" and value.text else text

    lines = [f"**{escape(visible(table.title))}**", "", line([escape(title) for title in _titles(columns)])]
    lines.append(line(["---:" if column.numeric else ":---" for column in columns]))
    for heading, rows in _parts(table):
        if heading:
            lines.append(line([f"**{escape(' · '.join(heading))}**", *[""] * (len(columns) - 1)]))
        lines += [line([cell(*pair) for pair in zip(row, columns, strict=True)]) for row in rows]
    return "\n".join([*lines, "", *(f"{escape(visible(note))}\n" for note in table.footnotes)]).rstrip("\n") + "\n"


def _latex_text(text: str) -> str:
    apart = re.sub("-(?=-)", "-\0", text)  # or LaTeX would make a dash of them; text has no control characters
    escaped = "".join(_LATEX.get(char, char) for char in apart)
    return f"{{}}{escaped}" if escaped[:1] in {"[", "*"} else escaped  # after \\ these would be its argument


def _latex(table: Table) -> str:
    columns, escape = _body(table), _latex_text

    def line(cells: list[str]) -> str:
        return f"{' & '.join(cells)} \\\\"

    def cell(value: Value, column: Column) -> str:
        text = escape(_shown(value, column))
        return f"\\textit{{{text}}}" if value.kind == "published" and value.text else text

    spec = "".join("r" if column.numeric else "l" for column in columns)
    lines = [f"% {visible(table.title)}; needs booktabs", f"\\begin{{tabular}}{{{spec}}}", "\\toprule"]
    lines.append(line([escape(title) for title in _titles(columns)]))
    for heading, rows in _parts(table):
        lines.append("\\midrule")
        if heading:
            lines.append(line([f"\\multicolumn{{{len(columns)}}}{{l}}{{{escape(' · '.join(heading))}}}"]))
        lines += [line([cell(*pair) for pair in zip(row, columns, strict=True)]) for row in rows]
    notes = [f"\\par\\footnotesize {escape(visible(note))}" for note in table.footnotes]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", *notes]) + "\n"


def _csv(table: Table) -> str:
    """One line per row; a column with an interval has four fields, numbers are in full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [
        head
        for column in table.columns
        for head in ([column.key, *(f"{column.key}_{part}" for part in _EXTRA)] if column.interval else [column.key])
    ]
    writer.writerow([*heads, "kind", "note"])
    for row in table.rows:
        fields = [field for value, column in zip(row, table.columns, strict=True) for field in _fields(value, column)]
        writer.writerow([*fields, _kind(row, table.columns), _inert(_note(row, table.columns))])
    return out.getvalue()


def _fields(value: Value, column: Column) -> list[str]:
    if not column.numeric:
        return [_inert(value.text)]
    numbers = [value.value, value.low, value.high, value.n] if column.interval else [value.value]
    return ["" if number is None or math.isnan(number) else str(_number(number)) for number in numbers]


def _number(number: float) -> float | int:
    """A plain Python number, whatever numpy hands us."""
    return float(number) if isinstance(number, float) else int(number)


def _kind(row: Row, columns: tuple[Column, ...]) -> str:
    """Of a whole row: published, missing (no number of it may be shown), else measured; its heading has no say."""
    kinds = {value.kind for value, column in zip(row, columns, strict=True) if not column.group}
    if "published" in kinds:
        return "published"
    return "missing" if "missing" in kinds and not kinds & {"measured", "derived"} else "measured"


def _note(row: Row, columns: tuple[Column, ...]) -> str:
    notes = (value.note for value, column in zip(row, columns, strict=True) if value.note and not column.group)
    return "; ".join(dict.fromkeys(notes))


def _inert(text: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    text = visible(text).strip()
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def _json(table: Table) -> str:
    rows = [{c.key: _entry(value) for c, value in zip(table.columns, row, strict=True)} for row in table.rows]
    columns = [{"key": c.key, "title": c.title, "unit": c.unit, "numeric": c.numeric} for c in table.columns]
    content = {"name": table.name, "title": table.title, "columns": columns, "rows": rows}
    content["footnotes"] = list(table.footnotes)
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode() + "\n"


def _entry(value: Value) -> dict[str, object]:
    """A value with all that is known of it; JSON has no infinity, so that one is only in its text."""
    numbers = {"value": value.value, "low": value.low, "high": value.high, "n": value.n}
    known = {
        key: None if number is None or not math.isfinite(number) else _number(number) for key, number in numbers.items()
    }
    return {"text": value.text, "kind": value.kind, **known, "note": value.note}
