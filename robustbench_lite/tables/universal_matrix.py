"""Moosavi-Dezfooli et al.'s Table 2: what a perturbation fitted for one classifier does to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.tables._transfer import Matrix, matrix
from robustbench_lite.tables.base import Table, tables

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["universal_matrix"]

_KIND = Matrix(
    name="universal_matrix",
    title="Fooling rate of one perturbation for all images, across classifiers",
    rank=None,
    marked="white box",
    takes=lambda one: one.fitted and len(one.sources) == 1,
    row=lambda one: one.sources[0],
    reference=lambda one: "uap-t2" if one.attack == "universal" else None,
    remarks=(
        "share of images whose prediction a perturbation changes, fitted for the row's classifier on other images and "
        "tested on the column's; * the one that it was fitted for; the mean is over the others; [95 % Wilson interval]",
        "random direction: the same for a random perturbation of the same size",
    ),
    control=True,
    pairwise=True,
)


@tables.register("universal_matrix", "Moosavi-Dezfooli et al.'s Table 2: universal perturbations across classifiers.")
def universal_matrix(results: Results) -> Table:
    return matrix(_KIND, results)
