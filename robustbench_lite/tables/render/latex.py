"""LaTeX tables (booktabs) in which no name is a command, norms are mathematics, and the best number is bold.

One that is wider than the text of `article` is set smaller, says once what is the same in every row, and folds heads
and names as a terminal does. Nothing is left out; what is too large all the same says so in its first lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.render.fold import fold
from robustbench_lite.tables.render.grid import Strip, total, widths
from robustbench_lite.tables.render.shape import constant, constants, with_best, without
from robustbench_lite.tables.render.shown import body, parts, shown, titled
from robustbench_lite.text import for_latex, visible

__all__ = ["latex"]

_TEXT = 345  # points: \textwidth of `article` on a4paper and letterpaper
_ROOM, _POINTS = 64, 5.0  # characters of a table that fit there, and how wide one is on average, for tables that fit
_SMALL, _SMALLER = 84, 3.85  # the same in \footnotesize, columns 8 points apart
_PAGE = 50  # lines


def latex(table: Table) -> str:
    table = with_best(table)
    page = _Page(table, _ROOM)
    small = page.width > _ROOM
    if small:
        page = _Page(without(table, constants(table)), _SMALL)
    notes = [f"{{\\footnotesize\\sloppy {for_latex(note)}\\par}}" for note in _notes(table, page.table)]
    lines = [f"% {visible(table.title)}; needs booktabs", *page.warnings]
    lines += ["\\begingroup\\footnotesize\\setlength{\\tabcolsep}{4pt}%"] if small else []
    lines += page.lines
    lines += ["\\endgroup"] if small else []
    return "\n".join([*lines, *(["\\par\\smallskip"] if notes else []), *notes]) + "\n"


def _notes(table: Table, page: Table) -> Iterator[str]:
    """What is said below the table: what has left it, what bold means, its footnotes."""
    gone = [column for column in table.columns if column not in page.columns]
    if said := [f"{titled(column)} {text}" for column in gone if (text := constant(table, column))]:
        yield f"in every row: {', '.join(said)}"
    yield from _bold(table)
    yield from table.footnotes


@dataclass(frozen=True)
class _Page:
    """A table on a page where so many characters stand beside each other."""

    table: Table
    room: int

    @cached_property
    def columns(self) -> list[Column]:
        return body(self.table)

    @cached_property
    def sizes(self) -> list[int]:
        """How wide each column is in characters: heads are folded, then names; numbers never."""
        texts = [[shown(row[column.key], column) for row in self.table.rows] for column in self.columns]
        found = [Strip(column, titled(column), text) for column, text in zip(self.columns, texts, strict=True)]
        full = [strip.full for strip in found]
        return full if self.room == _ROOM else widths(found, max(self.room, total([strip.soft for strip in found])))

    @property
    def width(self) -> int:
        return total(self.sizes)

    @cached_property
    def lines(self) -> list[str]:
        return list(self._drawn())

    def _drawn(self) -> Iterator[str]:
        spec = "".join("r" if column.numeric else "l" for column in self.columns)
        yield from (f"\\begin{{tabular}}{{{spec}}}", "\\toprule")
        sized = list(zip(self.columns, self.sizes, strict=True))
        heads = [fold(titled(column), size) for column, size in sized]
        yield from _lines([[for_latex(text.strip()) for text in head] for head in heads], head=True)
        for heading, rows in parts(self.table):
            yield "\\midrule"
            for text in fold(" · ".join(heading), self.room, "  ") if heading else []:
                yield _line([f"\\multicolumn{{{len(self.columns)}}}{{l}}{{{_indented(text)}}}"])
            for row in rows:
                yield from _lines([_cell(row[column.key], column, size) for column, size in sized])
        yield from ("\\bottomrule", "\\end{tabular}")

    @property
    def warnings(self) -> Iterator[str]:
        """That it is too wide or too long for a page of `article`, and what helps."""
        small = self.room == _SMALL
        if self.width > self.room:
            points = round((self.width + 2) * (_SMALLER if small else _POINTS))
            what = f"about {points} pt wide, \\textwidth of article is {_TEXT} pt"
            yield f"% {what}: --columns, --no-intervals and --transpose make it narrower"
        if (lines := len(self.lines)) > _PAGE:
            yield f"% {lines} lines, more than a page: take rows away, or use longtable"


def _cell(value: Value, column: Column, size: int) -> list[str]:
    """The lines of a cell; a number has one."""
    text = shown(value, column)
    return [_set(line, value) for line in ([text] if column.numeric else fold(text, size, "  "))]


def _lines(cells: Sequence[list[str]], *, head: bool = False) -> Iterator[str]:
    """The lines of one row, as many as its longest cell has; heads stand at the bottom of theirs."""
    height = max(map(len, cells), default=0)
    full = [[""] * (height - len(cell)) + cell if head else cell + [""] * (height - len(cell)) for cell in cells]
    yield from map(_line, zip(*full, strict=True))


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _indented(text: str) -> str:
    """Text whose leading spaces, which TeX would drop, say that it goes on."""
    return f"\\quad {for_latex(text.strip())}" if text.startswith("  ") else for_latex(text)


def _set(text: str, value: Value) -> str:
    """One line of a cell: italic where it is published, bold where it is the best of ours."""
    tex = _indented(text)
    if value.kind == "published" and value.text:
        return f"\\textit{{{tex}}}"
    if value.best:
        head, space, rest = tex.partition(" ")
        return f"\\textbf{{{head}}}{space}{rest}"
    return tex


def _bold(table: Table) -> list[str]:
    """What bold means, as LaTeX has nothing to hover over."""
    if not any(value.best for row in table.rows for value in row.values()):
        return []
    said = [f"{'highest' if c.better == 'higher' else 'lowest'} {titled(c)}" for c in body(table) if c.better]
    what = f": {', '.join(said)}" if said else ""
    return [f"bold: the best of ours under each heading{what}; no test is behind it"]
