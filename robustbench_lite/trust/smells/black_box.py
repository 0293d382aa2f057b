"""Does an attack that does not see the classifier beat the one that does?"""

from __future__ import annotations

import numpy as np

from robustbench_lite.registry import canonical
from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.paired_tests import mcnemar
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register, unknown
from robustbench_lite.trust.smells._rivals import CONTROL, beside, blind, needed

_CLEARLY = 0.8  # of the size that one attack needs is clearly less
_WHY = (
    "Who sees the classifier can do whatever an outsider can. Where images made for other classifiers break it more "
    "often than images made for itself by the same attack, its gradients mislead the attack (Athalye, Carlini and "
    "Wagner 2018), and the white-box number is no lower bound. So it is where an attack that asks for no gradient, "
    "only for scores or decisions, breaks significantly more within the same budget than all attacks with gradients "
    "together, or with perturbations that are smaller by a fifth."
)
_REMEDY = (
    "Look for what hides the classifier's gradients and attack through it, or without gradients (square, "
    "hop_skip_jump); until then quote the black-box number as an upper bound."
)


@register("black_box", "white box at least as strong", _WHY, _REMEDY)
def black_box(case: Case, everything: tuple[Case, ...]) -> Finding:
    """Of attacks on one classifier: is one that saw another classifier, or no gradient, stronger?"""
    own = next((one for one in case.scored if one.own), None)
    if own is None:
        return unknown("several sources: compare the cells of single ones")
    compared = _transferred(case, own, everything) + _without_gradients(case, own, everything)
    if not compared:
        return unknown("no attack on other classifiers is scored on this one")
    beaten = [
        f"{name} breaks {more} more, {fewer} fewer"
        for name, more, fewer in compared
        if more > fewer and mcnemar(more, fewer) < 0.05
    ]
    return doubt(*beaten) if beaten else fine(f"none of {len(compared)} black-box attacks breaks more")


def _transferred(case: Case, own: Evaluation, everything: tuple[Case, ...]) -> list[tuple[str, int, int]]:
    """How many more and fewer the same attack on each other classifier breaks of this one's samples."""
    index = case.results.memo.get("transferred")
    if index is None:
        index = case.results.memo["transferred"] = {}
        for other in everything:
            for one in other.scored:
                if not one.white_box:
                    index.setdefault((_attack(other), one.model), []).append(one)
    scored = index.get((_attack(case), own.model), []) if index else []
    return [
        (str(one.cell["source"]), int((one.success & ~own.success).sum()), int((own.success & ~one.success).sum()))
        for one in scored
        if one.samples == own.samples
    ]


def _without_gradients(case: Case, own: Evaluation, everything: tuple[Case, ...]) -> list[tuple[str, int, int]]:
    """How many more and fewer each attack on the same classifier breaks that does not see its gradients.

    Within the budget; without one, with clearly less. Against all attacks that do see them together.
    """
    if blind(own) or own.norm is None or (own.epsilon is None and not own.unbounded):
        return []
    others = beside(case, own, everything)
    rivals = [one for one in others if blind(one) and one.norm is not None and one.attack != CONTROL]
    if not rivals:
        return []
    mine = needed([one for one in others if not blind(one)], own)
    found = []
    for one in rivals:
        theirs = needed([one], own)
        if own.epsilon is None:
            more, fewer = theirs < _CLEARLY * mine, mine < _CLEARLY * theirs
        else:
            more, fewer = np.isfinite(theirs) & np.isinf(mine), np.isfinite(mine) & np.isinf(theirs)
        found.append((f"{one.variant}, without gradients,", int(more.sum()), int(fewer.sum())))
    return found


def _attack(case: Case) -> tuple[str, ...]:
    """The same for the same kind of attack on the same data, whoever its sources are."""
    rest = {key: value for key, value in case.params.items() if key != "sources"}
    return (*(str(case.cell[name]) for name in ("dataset", "attack", "goal")), canonical(rest))
