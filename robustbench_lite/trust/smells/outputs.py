"""Are the outputs logits, and not something that saturates?"""

from __future__ import annotations

from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register

_WHY = (
    "Attacks follow gradients of the logits. A sigmoid, a softmax, a clamp or a last ReLU behind them is flat wherever "
    "the classifier is sure: the gradient vanishes, attacks stop, and the classifier looks more robust than it is. "
    "Outputs that all lie in [0, 1], rows that always have the same sum, and many outputs that are exactly the "
    "smallest or the largest one are signs of it."
)
_REMEDY = "Give the classifier without its last sigmoid, softmax, clamp or ReLU, and run again."


@register("outputs", "outputs are logits", _WHY, _REMEDY)
def outputs(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    found = case.warnings("outputs")
    return doubt(*found) if found else fine("neither bounded, nor cut off, nor rows of one sum")
