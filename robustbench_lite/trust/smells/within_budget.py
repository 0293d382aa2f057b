"""Does another attack break more within this budget, and for less?"""

from __future__ import annotations

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Flags, Reals
from robustbench_lite.results.paired_tests import mcnemar
from robustbench_lite.results.schema import size_column
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.text import plural
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register, unknown
from robustbench_lite.trust.smells._rivals import CONTROL, blind

_LEAST = 0.1  # of all samples: attacks that keep their last iterate lose some to others on honest classifiers too
_WHY = (
    "A sample is robust at a budget only if no attack breaks it there: the worst case over all attacks counts. That a "
    "strong attack finds more than a quick one is as it should be. Where one that spends no more passes on these "
    "samples, or never saw the classifier, breaks many more within the budget (a tenth of all samples, and no "
    "chance), the attack at hand was misled, and its own number says nothing. Without gradients it cannot be misled, "
    "only slower: it is held against others of its kind, and noise, which does not try, against nobody."
)
_REMEDY = (
    "Quote the worst case over all attacks of the run, and strengthen this attack: another loss, restarts, more steps."
)


@register("within_budget", "no cheaper success within the budget", _WHY, _REMEDY)
def within_budget(case: Case, everything: tuple[Case, ...]) -> Finding:
    mine = next((one for one in case.scored if one.own), None)
    if mine is None or mine.norm is None or mine.epsilon is None:
        return fine("no budget on one classifier that it saw")
    if mine.targeted or mine.fitted or mine.viewed:
        return fine("the attack wants more than another class on each image")
    if mine.attack == CONTROL:
        return fine("noise is a control: it does not try")
    found = [(one, fooled) for other, one, fooled in _comparable(case, everything, mine) if other is not case]
    found = [(one, fooled) for one, fooled in found if blind(one) or not blind(mine)]
    if not found:
        return unknown("no other attack on this classifier and these samples")
    rivals, most = [one for one, _ in found], allowed(mine.epsilon)
    theirs = [fooled & (one[size_column(mine.norm)] <= most) for one, fooled in found]
    level = 0.05 / len(rivals)
    beaten = [text for one, fell in zip(rivals, theirs, strict=True) if (text := _beaten(mine, one, fell, level))]
    if beaten:
        return doubt(*beaten)
    more = np.any(theirs, axis=0) & mine.robust
    return fine(f"{int(more.sum())} more fall to {plural(len(rivals), 'other')}, and no cheaper one finds many more")


def _comparable(case: Case, everything: tuple[Case, ...], mine: Evaluation) -> list[tuple[Case, Evaluation, Flags]]:
    """Whose images are ones that this attack may make, of the same samples, and which of them fool; looked up once."""
    index = case.results.memo.get("comparable")
    if index is None:
        index = case.results.memo["comparable"] = {}
        for other in everything:
            for one in other.scored:
                if one.clipped and not one.viewed:
                    fooled = np.asarray(~one.correct & one["clean_correct"], np.bool_)
                    index.setdefault((one.dataset, one.model, tuple(one.samples)), []).append((other, one, fooled))
    return list(index.get((mine.dataset, mine.model, tuple(mine.samples)), []))


def _beaten(mine: Evaluation, other: Evaluation, theirs: Flags, level: float) -> str:
    """How many more fall to the other for no more passes, where that is no chance; else nothing."""
    more = mine.robust & theirs
    if np.count_nonzero(more) <= _LEAST * len(mine):
        return ""
    fewer = ~mine.robust & mine["clean_correct"] & ~theirs
    gain, sure = int(more.sum()) - int(fewer.sum()), mcnemar(int(more.sum()), int(fewer.sum())) < level
    if gain <= _LEAST * len(mine) or not sure:
        return ""
    if other.white_box and not _spent(other)[more].sum() <= _spent(mine)[more].sum():
        return ""
    return (
        f"{other.variant} through {other.through or 'itself'} breaks {int(more.sum())} more, {int(fewer.sum())} fewer"
    )


def _spent(one: Evaluation) -> Reals:
    """(n,) passes; NaN where they were not counted, and nothing is cheaper than that."""
    return np.asarray(one["forwards"], np.float64) + np.asarray(one["backwards"], np.float64)
