"""Did the attack spend its budget where it failed?"""

from __future__ import annotations

import numpy as np

from robustbench_lite.text import budget
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register

_FAR = 0.5  # of the budget: below, an image lies far inside of the ball
_MOST = 0.05  # of all samples
_WHY = (
    "The loss grows towards the border of the ball, and an attack with a budget that fails should end there. Where "
    "most of the samples that it did not break lie less than half way out, it stood still or went in circles: steps "
    "are too short, gradients vanish, or the search ended early."
)
_REMEDY = (
    "Leave step_size to the attack and give it more steps; where gradients vanish, attack with another loss or "
    "without gradients (square)."
)


@register("budget_unused", "budget spent where it failed", _WHY, _REMEDY)
def budget_unused(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    first = case.scored[0]
    if first.norm is None or first.epsilon is None:
        return fine("the attack has no budget")
    if first.fitted or case.cell["spends"] is False:
        return fine("the attack need not spend all of it")
    broken = np.any([one.success for one in case.seen or case.scored], axis=0)
    broken = broken | np.array([why is not None for why in first["skipped"].tolist()], np.bool_)  # it left these out
    far = ~broken & (first[first.norm] < _FAR * first.epsilon)
    text = f"{int(far.sum())} of {int((~broken).sum())} unbroken samples lie within half of {budget(first.epsilon)}"
    return doubt(text) if far.sum() > max(0.5 * (~broken).sum(), _MOST * len(far)) else fine(text)
