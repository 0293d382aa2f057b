"""Do the successes survive being saved as an ordinary image?"""

from __future__ import annotations

from robustbench_lite.trust.smell import Case, Finding, fine, register, unknown, warning

_LEAST = 0.9
_WHY = (
    "Minimal perturbations end right behind a decision boundary, and many of them vanish when the image is stored in 8 "
    "bits per channel. A success that lives only in float32 is a fact about the classifier's function, not a picture "
    "that fools it."
)
_REMEDY = "Quote the column in 8 bits beside the success, or read the sizes as distances."


@register("eight_bit", "survival in 8 bits", _WHY, _REMEDY)
def eight_bit(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    won = sum(int(one.success.sum()) for one in case.scored)
    kept = sum(int((one.success & one["success_8bit"]).sum()) for one in case.scored)
    if won == 0:
        return unknown("no success to round")
    text = f"{kept} of {won} successes survive rounding to 8 bits"
    return fine(text) if kept >= _LEAST * won else warning(text)
