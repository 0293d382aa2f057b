"""What float32 arithmetic may do to a layer's result, whatever the order in which it adds.

A sum of n products that is computed in float32 is off by at most gamma(n) times the sum of their absolute values
(Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), with or without fused operations. The bounds are
computed in float64, whose own rounding has the same form with a unit that is 2^29 times smaller: the slightly larger
unit below covers it, for sums of up to half a million terms.
"""

from __future__ import annotations

__all__ = ["OWN", "gamma"]

_UNIT = 2.0**-24 * (1 + 2.0**-10)
OWN = 1e-9  # of the sum of absolute values: what float64 may do to a sum over an image, with room to spare


def gamma(operations: int) -> float:
    """The largest relative error of so many roundings in a row."""
    return operations * _UNIT / (1 - operations * _UNIT)
