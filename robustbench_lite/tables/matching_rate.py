"""Liu et al.'s Tables 2 and 3: how often a classifier takes a targeted example for its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.tables._transfer import Matrix, matrix, without
from robustbench_lite.tables.base import Table, tables

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["matching_rate"]


def _row(one: Evaluation) -> str:
    return without(one) if len(one.sources) > 1 else one.sources[0]


def _reference(one: Evaluation) -> str | None:
    if one.attack != "ensemble":
        return None
    return "liu-t3" if len(one.sources) > 1 else "liu-t2"


_KIND = Matrix(
    name="matching_rate",
    title="Matching rate of targeted examples",
    rank="target_rank",
    marked="black box",
    takes=lambda one: one.targeted,
    row=_row,
    reference=_reference,
    remarks=(
        "targeted examples: share that each classifier takes for the target; rows: the one source, or who was left "
        "out of the ensemble; * black box, not seen by the attack; the mean is over the others; higher is stronger",
        "RMSD: root mean square deviation on the 0-255 scale, mean over samples; [95 % Wilson interval; for the mean "
        "that of one classifier, as if all of them agreed]",
    ),
)


@tables.register("matching_rate", "Liu et al.'s Tables 2 and 3: how often targeted examples hit their target.")
def matching_rate(results: Results) -> Table:
    return matrix(_KIND, results)
