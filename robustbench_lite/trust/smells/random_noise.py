"""Is random noise of the same size as good as the attack?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register, unknown
from robustbench_lite.trust.smells._rivals import CONTROL, beside, needed

_FEW = 3  # samples; fewer may lie so near a boundary that anything breaks them
_WHY = (
    "In as many dimensions as an image has, a random direction is next to useless: an attack that has something to "
    "follow breaks many times what noise of the same size does. Where noise breaks as many, the attack is as blind as "
    "the noise: its gradients lead nowhere, or it does not take its steps (Carlini et al. 2019)."
)
_REMEDY = "Attack with another loss, with longer steps or without gradients (square), and quote the strongest."


@register("random_noise", "better than random noise", _WHY, _REMEDY)
def random_noise(case: Case, everything: tuple[Case, ...]) -> Finding:
    """Of what is right at first: does noise within the budget, or no larger than what was needed, break as much?"""
    own = next((one for one in case.scored if one.own), None)
    if own is None or own.norm is None or own.attack == CONTROL or (own.epsilon is None and not own.unbounded):
        return unknown("noise is compared with attacks on one classifier that have a norm")
    controls = [one for one in beside(case, own, everything) if one.attack == CONTROL and _no_larger(one, own)]
    if not controls:
        return unknown("these results have no `noise` of that size on this classifier")
    noise, mine = needed(controls, own), needed([own], own)
    bounded = own.epsilon is not None
    lost = np.isfinite(noise) & (np.isinf(mine) if bounded else noise < mine)
    won = np.isfinite(mine) & (np.isinf(noise) if bounded else mine < noise)
    left = own["clean_correct"] & np.isinf(mine)
    text = f"noise breaks {_of(noise, own)}, the attack {_of(mine, own)}"
    blind = np.isfinite(noise).sum() >= _FEW and lost.sum() >= won.sum() and bool(lost.any() or left.any())
    return doubt(f"{text}; {int(lost.sum())} that it does not, or not at that size") if blind else fine(text)


def _no_larger(control: Evaluation, own: Evaluation) -> bool:
    """Whether the noise has no more than the attack's budget, in its norm."""
    return control.norm == own.norm and (own.epsilon is None or (control.epsilon or 0) <= own.epsilon * (1 + 1e-6))


def _of(sizes: npt.NDArray[np.float64], own: Evaluation) -> str:
    return f"{int(np.isfinite(sizes).sum())} of {int(own['clean_correct'].sum())}"
