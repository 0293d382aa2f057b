"""Is the classifier as accurate as its card says?"""

from __future__ import annotations

from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register, unknown

_WHY = (
    "A wrong normalisation, other weights or other data first show in the clean accuracy. Where it is further from the "
    "classifier's card than chance explains (99.9 % Clopper-Pearson interval), the robust accuracy is that of a "
    "classifier that nobody ships."
)
_REMEDY = (
    "Compare mean, std, size and order of labels with those of the classifier's card, and its weights and data with "
    "the hashes under provenance; then run again."
)


@register("clean_accuracy", "clean accuracy", _WHY, _REMEDY)
def clean_accuracy(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    if far := case.warnings("clean_accuracy"):
        return doubt(*far)
    clean, card = case.cell["clean_accuracy"], case.cell["card_accuracy"]
    if clean is None or card is None:
        return unknown("no card states an accuracy on these data for these sources")
    return fine(f"{clean:.1%}, the card says {card:.1%}")
