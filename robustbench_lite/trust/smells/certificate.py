"""Is anything fooled that was proven not to be?"""

from __future__ import annotations

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.schema import size_column
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register

_WHY = (
    "A certificate is a proof: no image within the budget is taken for another class, whatever an attack does. So an "
    "image of any attack of the run, with or without a budget, that fools the classifier within that budget on a "
    "proven sample shows that the proof or the judge is wrong, and no number that rests on either stands. It would be "
    "an error of this program: please report it."
)
_REMEDY = "Quote nothing of this run; please report it with the run's folder."


@register("certificate", "nothing that is proven is fooled", _WHY, _REMEDY)
def certificate(case: Case, everything: tuple[Case, ...]) -> Finding:
    mine = case.scored[0]
    if not case.cell["certify"] or mine.norm is None or mine.epsilon is None:
        return fine("nothing was to be proven")
    proven = dict(zip(mine.samples, mine["certified"].tolist(), strict=True))
    fooled = [f"{one.variant} fools {sample}" for one in _beside(case, everything, mine)
              for sample in _fooled(one, mine.norm, mine.epsilon) if proven.get(sample)]  # fmt: skip
    if fooled:
        return doubt(f"proven by {case.cell['certify']}, and yet {fooled[0]}" + _more(fooled))
    count = sum(proven.values())
    return fine(f"{count} of {len(proven)} samples are proven by {case.cell['certify']}, and none of them is fooled")


def _beside(case: Case, everything: tuple[Case, ...], mine: Evaluation) -> list[Evaluation]:
    """All that was done to this classifier on these data, with images in [0, 1]; looked through only once."""
    index = case.results.memo.get("images of a classifier")
    if index is None:
        index = case.results.memo["images of a classifier"] = {}
        for one in (one for other in everything for one in other.scored):
            if one.clipped and not one.viewed:
                index.setdefault((one.dataset, one.model), []).append(one)
    return list(index.get((mine.dataset, mine.model), []))


def _fooled(one: Evaluation, norm: str, epsilon: float) -> list[str]:
    """The samples that were right before and are wrong after a change within the budget."""
    wrong = one["clean_correct"] & ~one.correct & (one[size_column(norm)] <= allowed(epsilon))
    return [sample for sample, is_wrong in zip(one.samples, wrong.tolist(), strict=True) if is_wrong]


def _more(fooled: list[str]) -> str:
    return f" (and {len(fooled) - 1} more)" if len(fooled) > 1 else ""
