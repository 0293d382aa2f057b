"""Robust accuracy from both sides as bars: what is proven, what is undecided, what attacks broke."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.figures.svg import PALETTE, element
from robustbench_lite.report.strength import MOST, Drawn, cut
from robustbench_lite.results.worst_case import WorstCase, worst_cases
from robustbench_lite.tables.base import tables
from robustbench_lite.text import budget, percent

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["between"]

_WIDTH, _LINE, _BAR = 620, 44, 16
_PARTS = (("proven", PALETTE[2]), ("undecided", "#999999"), ("broken", PALETTE[5]), ("wrong before", PALETTE[7]))


def between(results: Results) -> Iterator[Drawn]:
    """A bar for each classifier and budget for which something was to be proven; nothing where nothing was."""
    cases = [one for one in worst_cases(results) if one.proven is not None and _asked(one)]
    if not cases:
        return
    table = tables.make("certified", results)
    gaps = [percent(gap) for gap in sorted(_shares(one)[1] for one in cases)]
    apart = gaps[0] if gaps[0] == gaps[-1] else f"{gaps[0]} to {gaps[-1]}"
    says = (
        "robust accuracy is at least what is proven, and at most that and what is undecided, which attacks did not "
        f"break: {apart} % of {len(cases[0].samples)} images"
    )
    title = "Proven, undecided, broken" + cut(min(len(cases), MOST), len(cases))
    there = {part for one in cases for part, _ in _some(one)}
    legend = [(name, colour, "none") for name, colour in _PARTS if (name, colour) in there]
    yield Drawn(title, says, _chart(cases[:MOST], title), legend, table)


def _asked(case: WorstCase) -> bool:
    return any(one.cell["certify"] for one in case.attacks)


def _shares(case: WorstCase) -> tuple[float, ...]:
    """Of all samples, in the order of _PARTS."""
    proven = case.proven if case.proven is not None else np.zeros_like(case.robust)
    parts = (proven, case.robust & ~proven, case.clean & ~case.robust & ~proven, ~case.clean)
    return tuple(float(part.mean()) for part in parts)


def _chart(cases: list[WorstCase], title: str) -> str:
    parts = [element("title", text=title)]
    for i, case in enumerate(cases):
        top, at = i * _LINE, case.pool.threat
        said = ", ".join(f"{percent(share)} % {name}" for (name, _), share in _some(case))
        name = f"{at.model} · {at.dataset} · {at.norm} at most {budget(case.epsilon)}: {said}"
        parts.append(element("text", text=name, x=0, y=top + 14, class_="tick"))
        parts += _bar(case, top + 20)
    height = _LINE * len(cases)
    return element(
        "svg", parts, viewBox=f"0 0 {_WIDTH} {height}", width=_WIDTH, height=height, role="img", class_="chart"
    )


def _some(case: WorstCase) -> list[tuple[tuple[str, str], float]]:
    """The parts that are there."""
    return [(part, share) for part, share in zip(_PARTS, _shares(case), strict=True) if share]


def _bar(case: WorstCase, top: float) -> Iterator[str]:
    start = 0.0
    for (name, colour), share in _some(case):
        tip = element("title", text=f"{name}: {percent(share)} %")
        width = share * _WIDTH
        yield element("rect", tip, x=round(start, 1), y=top, width=round(width, 1), height=_BAR, fill=colour)
        start += width
