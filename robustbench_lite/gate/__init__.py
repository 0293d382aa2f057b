"""A run against a baseline: the rules, what was lost and how sure that is, and the verdict in five formats."""

from robustbench_lite.gate.baseline import Baseline, baseline_of, read_baseline, write_baseline
from robustbench_lite.gate.pairing import Report, Verdict, check
from robustbench_lite.gate.render import lines_of, render_report, summary
from robustbench_lite.gate.rules import Gate, Limits, Rule, gate_of
from robustbench_lite.gate.scores import scores_of

__all__ = [
    "Baseline",
    "Gate",
    "Limits",
    "Report",
    "Rule",
    "Verdict",
    "baseline_of",
    "check",
    "gate_of",
    "lines_of",
    "read_baseline",
    "render_report",
    "scores_of",
    "summary",
    "write_baseline",
]
