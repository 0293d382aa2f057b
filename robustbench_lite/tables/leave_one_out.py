"""Liu et al.'s Table 4: accuracy on examples made for an ensemble, the left-out classifier on the diagonal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.tables._transfer import Matrix, matrix, without
from robustbench_lite.tables.base import Table, tables

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["leave_one_out"]


_KIND = Matrix(
    name="leave_one_out",
    title="Accuracy on examples made for the other classifiers together",
    rank="label_rank",
    marked="black box",
    takes=lambda one: len(one.sources) > 1 and not one.targeted,
    row=without,
    reference=lambda one: "liu-t4" if one.attack == "ensemble" else None,
    remarks=(
        "non-targeted examples made for an ensemble: rows say who was left out, columns who is scored; "
        "* black box, not seen by the attack; the mean is over the others; lower is a stronger attack",
        "RMSD: root mean square deviation on the 0-255 scale, mean over samples; [95 % Wilson interval; for the mean "
        "that of one classifier, as if all of them agreed]",
    ),
)


@tables.register("leave_one_out", "Liu et al.'s Table 4: accuracy on examples made for all classifiers but one.")
def leave_one_out(results: Results) -> Table:
    return matrix(_KIND, results)
