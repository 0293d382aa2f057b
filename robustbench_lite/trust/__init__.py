"""Whether a number can be believed: smells, one a file, and the bracket of problems with exact answers."""

from robustbench_lite.trust.bracket import calibrated, key_of
from robustbench_lite.trust.smell import Check, Doubt, Finding, checks, doubts, findings

__all__ = [
    "Check",
    "Doubt",
    "Finding",
    "calibrated",
    "checks",
    "doubts",
    "findings",
    "key_of",
]
