"""Does one step break more than many?"""

from __future__ import annotations

from robustbench_lite.results.paired_tests import mcnemar
from robustbench_lite.text import plural
from robustbench_lite.trust.smell import Case, Finding, alike, doubt, fine, register, unknown

_WHY = (
    "Many steps can do whatever one can. Where a single step of the whole budget breaks significantly more than an "
    "attack that goes on from there, the gradients near the image lead the longer attack astray (Athalye, Carlini and "
    "Wagner 2018, the first sign of obfuscated gradients), and its number overstates robustness."
)
_REMEDY = "Attack with another loss, with random restarts or without gradients (square), and quote the strongest."


@register("one_step", "many steps at least as strong as one", _WHY, _REMEDY)
def one_step(case: Case, everything: tuple[Case, ...]) -> Finding:
    first = case.scored[0]
    if first.epsilon is None or first.fitted or _single(case) or not case.cell["backwards"]:
        return fine("not an attack of many steps within a budget")
    rivals = [other for other in alike(case, everything, "budget and goal", _use) if _single(other)]
    if not rivals:
        return unknown("no attack of one step has the same budget in these results")
    beaten = [text for rival in rivals if (text := _beaten(case, rival))]
    return doubt(*beaten) if beaten else fine(f"{plural(len(rivals), 'attack')} of one step: none breaks more")


def _single(case: Case) -> bool:
    """Whether one gradient is all that the attack follows."""
    return bool(case.params.get("steps", 1 if case.cell["attack"] == "fgsm" else None) == 1)


def _use(case: Case) -> tuple[str, ...]:
    """The same for attacks with one budget and goal on the same classifiers and data."""
    names = ("dataset", "source", "models", "norm", "eps", "goal", "seed")
    used = (case.params.get(name) for name in ("target", "under", "clip"))
    return (*(str(case.cell[name]) for name in names), *map(str, used))


def _beaten(case: Case, rival: Case) -> str:
    """How many more fall to one step, where that is no chance; else nothing."""
    lost = won = 0
    for mine, theirs in zip(case.scored, rival.scored, strict=True):
        if mine.samples != theirs.samples:
            return ""
        lost += int((~mine.success & theirs.success).sum())
        won += int((mine.success & ~theirs.success).sum())
    sure = lost > won and mcnemar(lost, won) < 0.05
    return f"{rival.cell['variant']} breaks {lost} more in one step, {won} fewer" if sure else ""
