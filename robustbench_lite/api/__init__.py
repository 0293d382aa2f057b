"""What a program or a notebook uses: suites that run, and results that show themselves."""

from robustbench_lite.api.results import Results, load, run
from robustbench_lite.api.view import PlotView, TableView
from robustbench_lite.trust import certify

__all__ = ["PlotView", "Results", "TableView", "certify", "load", "run"]
