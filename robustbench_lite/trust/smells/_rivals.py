"""What the same classifier says under other attacks: on the same samples, with the same aim, as far as sizes allow."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.schema import size_column
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.trust.smell import Case

__all__ = ["CONTROL", "beside", "blind", "needed"]

CONTROL = "noise"  # the attack that is none


def beside(case: Case, own: Evaluation, everything: tuple[Case, ...]) -> list[Evaluation]:
    """Finished evaluations of the attacked classifier that saw it alone, on the same samples, `own` among them."""
    index = case.results.memo.get("beside")
    if index is None:  # all are looked through only once
        index = case.results.memo["beside"] = {}
        for other in everything:
            for one in other.scored:
                if one.own and one.ok:
                    index.setdefault((_aim(other), tuple(one.samples)), []).append(one)
    return list(index.get((_aim(case), tuple(own.samples)), []))


def blind(one: Evaluation) -> bool:
    """Whether the attack asked for no gradient: for scores, or decisions, alone. Its forwards are its queries."""
    return bool(one.cell["backwards"] == 0)


def needed(several: Iterable[Evaluation], own: Evaluation) -> npt.NDArray[np.float64]:
    """(n,) the smallest size, in the norm of `own` and within its budget, with which any of them broke a sample.

    inf where none did, and where the clean image is misclassified.
    """
    assert own.norm is not None
    most = np.inf if own.epsilon is None else allowed(own.epsilon)
    least = np.full(len(own), np.inf)
    for one in several:
        size = one[size_column(own.norm)]
        least = np.fmin(least, np.where(one.success & own["clean_correct"] & (size <= most), size, np.inf))
    return least


def _aim(case: Case) -> tuple[str, ...]:
    """The same for what attacks the same classifiers on the same data and wants the same of them."""
    aim = f"target {case.params.get('target')}" if case.cell["goal"] == "target" else "away"
    return (str(case.cell["dataset"]), str(case.cell["source"]), aim)
