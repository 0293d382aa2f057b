"""Would more steps break more?"""

from __future__ import annotations

from robustbench_lite.registry import canonical
from robustbench_lite.results.paired_tests import mcnemar
from robustbench_lite.trust.smell import Case, Finding, alike, doubt, fine, register, unknown

_WHY = (
    "An attack that has not converged overestimates robustness. Where a suite runs the same attack with several "
    "numbers of steps (`matrix: {steps: [10, 40]}`), the longer run must not break significantly more; if it does, "
    "even that one may be too short."
)
_REMEDY = "Quote the run with more steps, and add one with four times as many, until no more are broken."


@register("more_steps", "more steps", _WHY, _REMEDY)
def more_steps(case: Case, everything: tuple[Case, ...]) -> Finding:
    steps = case.params.get("steps")
    if steps is None:
        return fine("the attack has no number of steps")
    if steps == 0:
        return fine("the attack takes no step: a control, which does not try")
    same = alike(case, everything, "all but its steps", _rest)
    longer = [other for other in same if (other.params.get("steps") or 0) > steps]
    if not longer:
        return unknown(f"nothing in these results runs longer than {steps} steps")
    best = max(longer, key=lambda other: int(other.params["steps"]))
    lost = won = 0
    for mine, theirs in zip(case.scored, best.scored, strict=True):
        if mine.samples != theirs.samples:
            return unknown("the longer run has other samples")
        lost += int((~mine.success & theirs.success).sum())
        won += int((mine.success & ~theirs.success).sum())
    text = f"with {best.params['steps']} instead of {steps} steps {lost} more are broken, {won} fewer"
    return doubt(text) if lost > won and mcnemar(lost, won) < 0.05 else fine(text)


def _rest(case: Case) -> tuple[str, ...]:
    """The same for the same attack but for its number of steps, on the same classifiers and data."""
    rest = {key: value for key, value in case.params.items() if key != "steps"}
    return (*(str(case.cell[name]) for name in ("dataset", "source", "models", "attack")), canonical(rest))
