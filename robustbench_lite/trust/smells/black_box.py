"""Does an attack that does not see the classifier beat the one that does?"""

from __future__ import annotations

from robustbench_lite.registry import canonical
from robustbench_lite.results.paired import mcnemar
from robustbench_lite.trust.smell import Case, Finding, alike, doubt, fine, register, unknown

_WHY = (
    "Who sees the classifier can do whatever an outsider can. Where images made for other classifiers break it more "
    "often than images made for itself by the same attack, its gradients mislead the attack (Athalye, Carlini and "
    "Wagner 2018), and the white-box number is no lower bound."
)


@register("black_box", "white box at least as strong", _WHY)
def black_box(case: Case, everything: tuple[Case, ...]) -> Finding:
    """Of cells that attack one classifier: is anybody else's attack on it stronger?"""
    own = next((one for one in case.scored if one.own), None)
    if own is None:
        return unknown("several sources: compare the cells of single ones")
    others = alike(case, everything, "attack", _attack)
    scored = [one for other in others for one in other.scored if one.model == own.model and not one.white_box]
    rivals = [one for one in scored if one.samples == own.samples]
    if not rivals:
        return unknown("no attack on other classifiers is scored on this one")
    beaten = []
    for one in rivals:
        more, fewer = int((one.success & ~own.success).sum()), int((own.success & ~one.success).sum())
        if more > fewer and mcnemar(more, fewer) < 0.05:
            beaten.append(f"{one.cell['source']} breaks {more} more, {fewer} fewer")
    return doubt("; ".join(beaten)) if beaten else fine(f"none of {len(rivals)} black-box attacks breaks more")


def _attack(case: Case) -> tuple[str, ...]:
    """The same for the same kind of attack on the same data, whoever its sources are."""
    rest = {key: value for key, value in case.params.items() if key != "sources"}
    return (*(str(case.cell[name]) for name in ("dataset", "attack", "goal")), canonical(rest))
