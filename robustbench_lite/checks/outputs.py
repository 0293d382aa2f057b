"""Does the classifier return logits?"""

from __future__ import annotations

from robustbench_lite.check import Case, Finding, doubt, fine, register

_WHY = (
    "An attack follows the gradient of a loss of logits. Where all outputs lie between 0 and 1 a sigmoid or a softmax "
    "has probably been applied: its slope vanishes where the classifier is confident, and the attack looks weaker than "
    "it is. Return the values before it."
)


@register("outputs", "outputs are logits", _WHY)
def outputs(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    said = [text for text in case.cell["warnings"] or [] if "[0, 1]" in text and ("output" in text or "logit" in text)]
    return doubt("; ".join(said)) if said else fine("not all of them lie in [0, 1]")
