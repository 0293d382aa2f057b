"""Liu et al.'s Table 1: accuracy of each classifier on examples made for one other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.tables._transfer import Matrix, matrix
from robustbench_lite.tables.base import Table, tables

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["transfer_matrix"]


def _reference(one: Evaluation) -> str | None:
    """Panel A is optimisation, panel B a step along the l2-normalised gradient."""
    if one.attack == "ensemble":
        return "liu-t1a"
    return "liu-t1b" if one.attack == "fgsm" and one.params["norm"] == "l2" else None


_KIND = Matrix(
    name="transfer_matrix",
    title="Accuracy on examples made for one classifier",
    rank="label_rank",
    marked="white box",
    takes=lambda one: len(one.sources) == 1 and not one.targeted,
    row=lambda one: one.sources[0],
    reference=_reference,
    remarks=(
        "non-targeted examples made for one classifier: rows say for whom, columns who is scored; * white box, the "
        "classifier that the attack saw; the mean is over the others; lower is a stronger attack",
        "RMSD: root mean square deviation on the 0-255 scale, mean over samples; [95 % Wilson interval; for the mean "
        "that of one classifier, as if all of them agreed]",
    ),
)


@tables.register("transfer_matrix", "Liu et al.'s Table 1: accuracy on examples made for one other classifier.")
def transfer_matrix(results: Results) -> Table:
    return matrix(_KIND, results)
