"""What to know before believing the numbers: the findings of every check, and what failed, each cause once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from robustbench_lite.guards.foreign import theirs
from robustbench_lite.results.evaluation import through
from robustbench_lite.text import plural
from robustbench_lite.trust.smell import Check, Finding, findings

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["failures", "trust"]

_LEVELS = ("doubt", "warning", "unknown", "ok")
_WORDS = {"doubt": "red", "warning": "warning", "unknown": "cannot tell", "ok": "ok"}
_TEXTS = 40  # of one check on a page


def trust(results: Results) -> dict[str, Any]:
    """One entry a check, the worst first, with its findings: equal ones together."""
    found = findings(results)
    said: dict[Check, list[tuple[Row, Finding]]] = {}
    for case, every in found:
        for check, finding in every:
            said.setdefault(check, []).append((case.cell, finding))
    entries = [_entry(check, of) for check, of in said.items()]
    entries = sorted((entry for entry in entries if entry["findings"]), key=lambda entry: _LEVELS.index(entry["level"]))
    total = Counter[str]()
    for entry in entries:
        total += entry["counts"]
    warnings = total["doubt"] + total["warning"]
    red = f", {total['doubt']} of them red" if total["doubt"] else ""
    warned = f"{plural(warnings, 'warning')}{red}" if warnings else "no warning"
    line = f"{warned} in {plural(total.total(), 'check')} of {plural(len(found), 'cell')}"
    level = next((level for level in _LEVELS if total[level]), "ok")
    return {"checks": entries, "line": line, "level": level if level in {"doubt", "warning"} else "ok"}


def _entry(check: Check, said: list[tuple[Row, Finding]]) -> dict[str, Any]:
    by_text: dict[tuple[str, str], list[str]] = {}
    for cell, finding in said:
        level = "doubt" if finding.red else finding.level
        by_text.setdefault((level, finding.text), []).append(_named(cell))
    order = sorted(by_text, key=lambda key: _LEVELS.index(key[0]))
    counts = Counter({level: sum(len(by_text[key]) for key in order if key[0] == level) for level in _LEVELS})
    return {
        "title": check.title,
        "why": check.why,
        "remedy": check.remedy if order and order[0][0] in {"doubt", "warning"} else "",
        "level": order[0][0] if order else "ok",
        "counts": counts,
        "badges": [(level, f"{counts[level]} {_plural(level, counts[level])}") for level in _LEVELS if counts[level]],
        "findings": [(level, _WORDS[level], text, by_text[level, text]) for level, text in order[:_TEXTS]],
        "more": max(0, len(order) - _TEXTS),
    }


def _plural(level: str, count: int) -> str:
    return _WORDS[level] + ("s" if level == "warning" and count > 1 else "")


def _named(cell: Row) -> str:
    return f"{cell['dataset']} · {through(cell)} · {cell['variant']}"


def failures(results: Results) -> list[dict[str, Any]]:
    """Each cause with the cells that failed of it, and the traceback of the first where somebody's code raised."""
    out: dict[str, dict[str, Any]] = {}
    made = [(cell, f"{cell['dataset']} · {cell['name']}") for cell in results.made()]
    for cell, name in [*((cell, _named(cell)) for cell in results.cell_table.to_pylist()), *made]:
        if cell["status"] != "ok":
            cause = str(cell["error"] or "no reason was stored")
            entry = out.setdefault(cause, {"cause": cause, "cells": [], "traceback": theirs(cell["traceback"] or "")})
            entry["cells"].append(name)
    return list(out.values())
