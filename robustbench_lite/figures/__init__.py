"""Figures of results, one a file: SVG for the page, matplotlib for a paper."""

from robustbench_lite.figures.base import Figure, figures
from robustbench_lite.figures.contact_sheet import ContactSheet
from robustbench_lite.figures.drawing import Axis, Drawing, Gallery, Line, Panel, Panels, Strip, Tile
from robustbench_lite.figures.paper import STYLE
from robustbench_lite.figures.stability import atoms_figure, errors_figure
from robustbench_lite.figures.svg import PALETTE, element

__all__ = [
    "PALETTE",
    "STYLE",
    "Axis",
    "ContactSheet",
    "Drawing",
    "Figure",
    "Gallery",
    "Line",
    "Panel",
    "Panels",
    "Strip",
    "Tile",
    "atoms_figure",
    "element",
    "errors_figure",
    "figures",
]
