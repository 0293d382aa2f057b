"""Suites become cells, and cells become rows: plan, load, execute, resume, verify."""

from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.cell_trial import prepare
from robustbench_lite.runner.execute import attack
from robustbench_lite.runner.figure import contact_sheet
from robustbench_lite.runner.objects import in_memory
from robustbench_lite.runner.observer import Observer, Silent
from robustbench_lite.runner.plan import Cell, experiments
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.run import Options, device_named, run_suite

__all__ = [
    "Assets",
    "Cell",
    "CellReport",
    "Observer",
    "Options",
    "Preflight",
    "Silent",
    "attack",
    "contact_sheet",
    "device_named",
    "experiments",
    "in_memory",
    "prepare",
    "run_suite",
]
