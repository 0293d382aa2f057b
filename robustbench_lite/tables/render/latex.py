"""LaTeX tables (booktabs) in which no name is a command, norms are mathematics, and the best number is bold."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.render.common import Row, body, parts, shown, titled
from robustbench_lite.tables.render.shape import with_best
from robustbench_lite.text import visible

__all__ = ["latex"]

_ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\textquotedbl{}", "—": "---", "·": r"\textperiodcentered{}",
    "…": r"\ldots{}", "\0": "{}",
}  # fmt: skip
_MATH = {
    "||r|| / ||x||": r"\|r\| / \|x\|", "rho_adv": r"\hat{\rho}_{\mathrm{adv}}", "rho": r"\rho", "epsilon": r"\epsilon",
    "l0": r"\ell_0", "l1": r"\ell_1", "l2": r"\ell_2", "linf": r"\ell_\infty", "inf": r"\infty",
    "±": r"\pm", "°": r"^\circ", "\u00d7": r"\times", "≤": r"\le", "≥": r"\ge",
}  # fmt: skip
_WORDS = re.compile(
    "|".join(rf"(?<![\w-]){re.escape(word)}(?![\w-])" if word.isidentifier() else re.escape(word) for word in _MATH)
)


def latex(table: Table) -> str:
    table = with_best(table)
    columns = body(table)
    spec = "".join("r" if column.numeric else "l" for column in columns)
    lines = [f"% {visible(table.title)}; needs booktabs", f"\\begin{{tabular}}{{{spec}}}", "\\toprule"]
    lines.append(_line([_tex(titled(column)) for column in columns]))
    for heading, rows in parts(table):
        lines.append("\\midrule")
        if heading:
            lines.append(_line([f"\\multicolumn{{{len(columns)}}}{{l}}{{{_tex(' · '.join(heading))}}}"]))
        lines += [_line(_cells(row, columns)) for row in rows]
    notes = [f"{{\\footnotesize {_tex(visible(note))}\\par}}" for note in (*_bold(table), *table.footnotes)]
    lines += ["\\bottomrule", "\\end{tabular}", *(["\\par\\smallskip"] if notes else []), *notes]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _cells(row: Row, columns: Sequence[Column]) -> list[str]:
    out = []
    for value, column in zip(row, columns, strict=True):
        text = _tex(shown(value, column))
        if value.kind == "published" and value.text:
            text = f"\\textit{{{text}}}"
        elif value.best:
            head, space, rest = text.partition(" ")
            text = f"\\textbf{{{head}}}{space}{rest}"
        out.append(text)
    return out


def _bold(table: Table) -> list[str]:
    """What bold means, as LaTeX has nothing to hover over."""
    if not any(value.best for row in table.rows for value in row):
        return []
    said = [f"{'highest' if c.better == 'higher' else 'lowest'} {titled(c)}" for c in body(table) if c.better]
    what = f": {', '.join(said)}" if said else ""
    return [f"bold: the best of ours under each heading{what}; no test is behind it"]


def _tex(text: str) -> str:
    """Escaped, and what is mathematics as such."""
    out, start = [], 0
    for word in _WORDS.finditer(text):
        out += [_plain(text[start : word.start()]), f"${_MATH[word.group()]}$"]
        start = word.end()
    whole = "".join([*out, _plain(text[start:])])
    return f"{{}}{whole}" if whole[:1] in {"[", "*"} else whole  # after \\ these would be its argument


def _plain(text: str) -> str:
    apart = re.sub("-(?=-)", "-\0", text)  # or LaTeX would make a dash of them; text has no control characters
    return "".join(_ESCAPED.get(char, char) for char in apart)
