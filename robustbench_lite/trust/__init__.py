"""Whether a number can be believed: smells, one a file; the bracket, exact answers; certificates, proofs."""

from robustbench_lite.trust.bracket import calibrated, key_of
from robustbench_lite.trust.certificates import Certificate, certify
from robustbench_lite.trust.smell import Check, Doubt, Finding, checks, doubts, findings

__all__ = [
    "Certificate",
    "Check",
    "Doubt",
    "Finding",
    "calibrated",
    "certify",
    "checks",
    "doubts",
    "findings",
    "key_of",
]
