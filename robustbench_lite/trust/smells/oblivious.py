"""Does an attacker who knows the defence break more than one who attacks the classifier behind it?"""

from __future__ import annotations

import numpy as np

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.paired_tests import mcnemar
from robustbench_lite.trust.smell import Case, Finding, doubt_each, fine, register, unknown
from robustbench_lite.trust.smells._rivals import needed

_WHY = (
    "A defence in front of a classifier undoes perturbations that were made for the classifier alone. That says "
    "little of an attacker who knows it: most defences that were published with such numbers fell as soon as somebody "
    "went through them, by a stand-in for what has no gradient and the mean over what is random (Athalye, Carlini and "
    "Wagner 2018). Where the same run breaks significantly more of the same samples through the defence, within the "
    "same budget, what the other attacker left is no robustness."
)
_REMEDY = "Quote what the attack through the defence leaves, in the same run, and not this number."


@register("oblivious", "attacker knows the defence", _WHY, _REMEDY)
def oblivious(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    """Of the scored classifiers that stand behind a defence, and of which the attack saw only what is behind it."""
    known = case.results.run.get("defenses") or {}
    unaware = [one for one in case.scored if known.get(one.model, {}).get("classifier") in one.sources]
    unaware = [one for one in unaware if not one.white_box and one.ok and one.norm is not None]
    if not unaware:
        return fine("no defence that it did not see")
    compared = [(one.model, text) for one in unaware if (text := _compared(case, one)) is not None]
    if beaten := {model: text for model, text in compared if text}:
        return doubt_each(beaten)
    if len(compared) < len(unaware):
        return unknown("no attack that goes through the defence has the same norm and samples in these results")
    return fine(f"who knows it breaks no more, of {len(compared)}")


def _compared(case: Case, one: Evaluation) -> str | None:
    """How many more fall to who goes through the defence; empty: that may be chance; None: nobody did."""
    index = case.results.memo.get("through")
    if index is None:
        index = case.results.memo["through"] = {}
        for other in evaluations(case.results):
            if other.ok and other.own and not other.viewed:
                index.setdefault((other.dataset, other.model, other.norm), []).append(other)
    rivals = index.get((one.dataset, one.model, one.norm), []) if index else []
    rivals = [other for other in rivals if other.samples == one.samples]
    if not rivals:
        return None
    theirs, mine = np.isfinite(needed(rivals, one)), np.isfinite(needed([one], one))
    more, fewer = int((theirs & ~mine).sum()), int((mine & ~theirs).sum())
    sure = more > fewer and mcnemar(more, fewer) < 0.05
    return f"who goes through it breaks {more} more, {fewer} fewer" if sure else ""
