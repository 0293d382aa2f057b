"""Figures of results, one a file, as SVG."""

from robustbench_lite.figures.base import Figure, figures
from robustbench_lite.figures.contact_sheet import ContactSheet
from robustbench_lite.figures.stability import atoms_figure, errors_figure
from robustbench_lite.figures.svg import PALETTE, element

__all__ = [
    "PALETTE",
    "ContactSheet",
    "Figure",
    "atoms_figure",
    "element",
    "errors_figure",
    "figures",
]
