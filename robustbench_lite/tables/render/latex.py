"""LaTeX tables (booktabs) in which no name is a command, norms are mathematics, and the best number is bold."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_lite.tables.base import Column, Row, Table
from robustbench_lite.tables.render.shape import with_best
from robustbench_lite.tables.render.shown import body, parts, shown, titled
from robustbench_lite.text import for_latex, visible

__all__ = ["latex"]


def latex(table: Table) -> str:
    table = with_best(table)
    columns = body(table)
    spec = "".join("r" if column.numeric else "l" for column in columns)
    lines = [f"% {visible(table.title)}; needs booktabs", f"\\begin{{tabular}}{{{spec}}}", "\\toprule"]
    lines.append(_line([for_latex(titled(column)) for column in columns]))
    for heading, rows in parts(table):
        lines.append("\\midrule")
        if heading:
            lines.append(_line([f"\\multicolumn{{{len(columns)}}}{{l}}{{{for_latex(' · '.join(heading))}}}"]))
        lines += [_line(_cells(row, columns)) for row in rows]
    notes = [f"{{\\footnotesize {for_latex(note)}\\par}}" for note in (*_bold(table), *table.footnotes)]
    lines += ["\\bottomrule", "\\end{tabular}", *(["\\par\\smallskip"] if notes else []), *notes]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _cells(row: Row, columns: Sequence[Column]) -> list[str]:
    out = []
    for column in columns:
        value = row[column.key]
        text = for_latex(shown(value, column))
        if value.kind == "published" and value.text:
            text = f"\\textit{{{text}}}"
        elif value.best:
            head, space, rest = text.partition(" ")
            text = f"\\textbf{{{head}}}{space}{rest}"
        out.append(text)
    return out


def _bold(table: Table) -> list[str]:
    """What bold means, as LaTeX has nothing to hover over."""
    if not any(value.best for row in table.rows for value in row.values()):
        return []
    said = [f"{'highest' if c.better == 'higher' else 'lowest'} {titled(c)}" for c in body(table) if c.better]
    what = f": {', '.join(said)}" if said else ""
    return [f"bold: the best of ours under each heading{what}; no test is behind it"]
