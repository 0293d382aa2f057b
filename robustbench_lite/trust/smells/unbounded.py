"""Did an attack without a budget succeed everywhere?"""

from __future__ import annotations

import json

from robustbench_lite.results.statistics import ENOUGH
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register, unknown, warning

_WHY = (
    "An attack that may change the image as much as it likes can always reach its goal: some image of another class "
    "is in reach. Where it fails, it was its own search that ended, for want of steps or of gradients, and what it "
    "found elsewhere overstates the distance to the boundary (Athalye, Carlini and Wagner 2018)."
)


@register("unbounded", "success without a budget", _WHY)
def unbounded(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    cell = case.cell
    if cell["eps"] is not None or cell["norm"] is None or json.loads(cell["params"] or "{}").get("fraction"):
        return fine("the attack has a budget, so it may fail")
    seen = [group for group in case.groups if group.model in (cell["sources"] or [])]
    if not seen:
        return unknown("no classifier that it saw is scored")
    n, reached = sum(len(group.rows) for group in seen), sum(int(group["success"].astype(bool).sum()) for group in seen)
    text = f"{reached} of {n} samples were broken, without a budget"
    if reached == n:
        return fine(text)
    return warning(text) if reached >= ENOUGH * n else doubt(text)
