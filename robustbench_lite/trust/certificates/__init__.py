"""Proofs that no attack within a budget can succeed: bounds on what a network computes (docs/certificates.md)."""

from robustbench_lite.trust.certificates.ladder import METHODS, NORMS, Certificate, Method, certify

__all__ = ["METHODS", "NORMS", "Certificate", "Method", "certify"]
