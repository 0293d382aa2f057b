"""The worst cases of two sides beside each other: of every budget, where the same attacks were run on both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from robustbench_lite.results.change import Change, common
from robustbench_lite.results.worst_case import WorstCase, worst_cases
from robustbench_lite.trust.smell import Doubt, doubts

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["reds_of", "worst_changes"]


def worst_changes(a: Results, b: Results, models: tuple[str | None, str | None]) -> Iterator[Change]:
    """Of each budget where more than one attack counts; `models`: a classifier on each side, or None for all."""
    left, right = (_cases(side, model) for side, model in zip((a, b), models, strict=True))
    for key, case in left.items():
        other = right.get(key)
        if other is None or max(len(one.pool.members) for one in (case, other)) < 2:
            continue  # with a single attack its own line says it
        reds = [tuple(map(str, reds_of(one, doubts(side)))) for one, side in ((case, a), (other, b))]
        places = common(case.evaluation, other.evaluation)
        yield Change(case.evaluation, other.evaluation, places, (reds[0], reds[1]))


def reds_of(case: WorstCase, known: dict[str, tuple[Doubt, ...]]) -> tuple[Doubt, ...]:
    """Why a worst case does not stand: the number of no attack with this budget does; one would do."""
    found = [known.get(one.id, ()) for one in case.attacks]
    return tuple(dict.fromkeys(doubt for part in found for doubt in part)) if all(found) else ()


def _cases(results: Results, model: str | None) -> dict[Any, WorstCase]:
    """By what makes two of them comparable: the budget, and the attacks on the classifier itself."""
    out = {}
    for case in worst_cases(results):
        at = case.pool.threat
        if model in {None, at.model}:
            attacks = frozenset((one.attack, str(one.cell["params"])) for one in case.pool.own)
            out[at.dataset, at.model if model is None else None, at.norm, at.clipped, case.epsilon, attacks] = case
    return out
