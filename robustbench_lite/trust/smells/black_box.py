"""Does an attack that does not see the classifier beat the one that does?"""

from __future__ import annotations

import json

import numpy as np

from robustbench_lite.registry import canonical
from robustbench_lite.results.evaluation import Group
from robustbench_lite.results.statistics import mcnemar
from robustbench_lite.trust.smell import Case, Finding, alike, doubt, fine, register, unknown

_WHY = (
    "Who sees the classifier can do whatever an outsider can. Where images made for other classifiers break it more "
    "often than images made for itself by the same attack, its gradients mislead the attack (Athalye, Carlini and "
    "Wagner 2018), and the white-box number is no lower bound."
)


@register("black_box", "white box at least as strong", _WHY)
def black_box(case: Case, everything: tuple[Case, ...]) -> Finding:
    """Of cells that attack one classifier: is anybody else's attack on it stronger?"""
    sources = case.cell["sources"] or []
    own = next((group for group in case.groups if sources == [group.model]), None)
    if own is None:
        return unknown("several sources: compare the cells of single ones")
    others = alike(case, everything, "attack", _attack)
    rivals = [group for other in others for group in other.groups if _outsider(other, group, own.model)]
    rivals = [group for group in rivals if np.array_equal(group["sample"], own["sample"])]
    if not rivals:
        return unknown("no attack on other classifiers is scored on this one")
    mine, beaten = own["success"].astype(bool), []
    for group in rivals:
        theirs = group["success"].astype(bool)
        more, fewer = int((theirs & ~mine).sum()), int((mine & ~theirs).sum())
        if more > fewer and mcnemar(more, fewer) < 0.05:
            beaten.append(f"{group.cell['source']} breaks {more} more, {fewer} fewer")
    return doubt("; ".join(beaten)) if beaten else fine(f"none of {len(rivals)} black-box attacks breaks more")


def _outsider(other: Case, group: Group, model: str) -> bool:
    """Whether `group` scores `model` under an attack by somebody who did not see it."""
    return group.model == model and model not in (other.cell["sources"] or [])


def _attack(case: Case) -> tuple[str, ...]:
    """The same for the same kind of attack on the same data, whoever its sources are."""
    rest = {key: value for key, value in json.loads(case.cell["params"] or "{}").items() if key != "sources"}
    return (*(str(case.cell[name]) for name in ("dataset", "attack", "goal")), canonical(rest))
