"""Can the steps of the attack cross its budget?"""

from __future__ import annotations

import numpy as np

from robustbench_lite.text import budget
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register

_WHY = (
    "An attack of so many steps of such a size gets no further than their product. Where that is less than the "
    "budget, most of what the budget allows is never looked at, and the samples that are left say nothing about it."
)
_REMEDY = "Set step_size: null, or give longer steps or more of them."


@register("reach", "steps reach the budget", _WHY, _REMEDY)
def reach(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    steps, size, epsilon = case.params.get("steps"), case.params.get("step_size"), case.scored[0].epsilon
    if steps is None or size is None or epsilon is None:
        return fine("the attack has no step size of its own beside a budget")
    text = f"{steps} steps of {budget(size)} go {budget(steps * size)}, the budget is {budget(epsilon)}"
    if steps * size >= epsilon * (1 - 1e-6):
        return fine(text)
    left = ~np.any([one.success for one in case.seen or case.scored], axis=0)
    return doubt(f"{text}; {int(left.sum())} samples are left") if left.any() else fine(f"{text}, and all were broken")
