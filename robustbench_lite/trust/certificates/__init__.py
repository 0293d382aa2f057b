"""Proofs that no attack within a budget can succeed: bounds on what a network computes (docs/certificates.md)."""

from robustbench_lite.trust.certificates.ladder import METHODS, NORMS, Certificate, Method, certify
from robustbench_lite.trust.certificates.request import Certify

__all__ = ["METHODS", "NORMS", "Certificate", "Certify", "Method", "certify"]
