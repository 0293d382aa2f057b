"""Did an attack without a budget succeed everywhere?"""

from __future__ import annotations

from robustbench_lite.results.statistics import ENOUGH
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register, unknown, warning

_WHY = (
    "An attack that may change the image as much as it likes can always reach its goal: some image of another class "
    "is in reach. Where it fails, it was its own search that ended, for want of steps or of gradients, and what it "
    "found elsewhere overstates the distance to the boundary (Athalye, Carlini and Wagner 2018)."
)
_REMEDY = (
    "Give the attack more steps or another loss, until it breaks every sample; until then quote the median, in which "
    "failures count as infinite."
)


@register("unbounded", "success without a budget", _WHY, _REMEDY)
def unbounded(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    if not case.scored[0].unbounded:
        return fine("it has a budget, or does not look for the smallest change, so it may fail")
    if not case.seen:
        return unknown("no classifier that it saw is scored")
    n, reached = sum(map(len, case.seen)), sum(int(one.success.sum()) for one in case.seen)
    text = f"{reached} of {n} samples were broken, without a budget"
    if reached == n:
        return fine(text)
    return warning(text) if reached >= ENOUGH * n else doubt(text)
