"""Are the adversarial images within the budget and the pixel range?"""

from __future__ import annotations

import numpy as np

from robustbench_lite.results.worst_case import allowed
from robustbench_lite.text import beside, budget
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register, warning

_WHY = (
    "An attack may only spend its budget, and an image has pixels between 0 and 1. The judge measures every candidate "
    "and fails those that break the contract; here the stored distances are compared with the budget once more. An "
    "attack that is declared without clipping (as some papers do) makes images that no camera can take."
)
_REMEDY = (
    "Without clipping: compare only with papers that do not clip, or set clip: true. A size above the budget is an "
    "error of this program: please report it."
)


@register("contract", "budget and box respected", _WHY, _REMEDY)
def contract(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    one = case.scored[0]
    norm, eps = one.norm, one.epsilon
    if not one.clipped:
        return warning("declared without clipping: the images may leave [0, 1]")
    if norm is None or eps is None:
        return fine("no budget to exceed; pixels in [0, 1]")
    largest = float(np.max(one.size))
    if largest > allowed(eps):
        return doubt(f"the largest stored {norm} size is {beside(largest, eps, 6)}, the budget {budget(eps)}")
    return fine(f"largest {norm} size {beside(largest, eps)} of {budget(eps)}")
