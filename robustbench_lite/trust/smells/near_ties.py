"""How many verdicts hang on rounding?"""

from __future__ import annotations

from robustbench_lite.trust.smell import Case, Finding, fine, register, warning

_MOST = 0.01
_WHY = (
    "Two classes whose logits differ by less than float32's rounding may change places with another batch size, device "
    "or library version. A few such verdicts are normal behind a minimal perturbation; many make a number that nobody "
    "can reproduce."
)
_REMEDY = (
    "Say how many verdicts are ties where the number is quoted; a run in one batch size on one device repeats them."
)


@register("near_ties", "near ties", _WHY, _REMEDY)
def near_ties(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    ties, n = case.cell["near_ties"] or 0, sum(len(one) for one in case.scored)
    text = f"{ties} of {n} verdicts"
    return warning(text) if ties > _MOST * n else fine(text)
