"""Does the gradient say how the loss changes?"""

from __future__ import annotations

from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register

_WHY = (
    "Before a classifier is attacked its loss is looked at on both sides of a few images, in random directions, and "
    "the changes a are held against what its gradient predicts, p: 2 <a, p> / (<a, a> + <p, p>), 1 where they are "
    "equal, the best of three step sizes. On healthy networks that is above 0.7; below 0.5 on most images the "
    "gradient is shattered, rounded or clamped away, detached, or that of another function (Athalye, Carlini and "
    "Wagner 2018). An attack that follows it stays in the dark. Attacks that ask for no gradient are not concerned, "
    "nor those with a budget that broke every sample all the same: nothing is left that could look robust."
)
_REMEDY = (
    "Attack through what hides the gradient (defenses: has stand-ins for it), or without gradients (square, "
    "hop_skip_jump), and quote the strongest."
)


@register("misleading_gradient", "gradient predicts the loss", _WHY, _REMEDY)
def misleading_gradient(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    if not case.cell["backwards"]:
        return fine("the attack asks for no gradient")
    several = len({*case.scored[0].sources, *case.scored[0].targets}) > 1
    attacked = tuple(f"{name}: " for name in case.scored[0].sources)  # one that is only scored does not mislead
    found = [text for text in case.warnings("gradients") if not several or text.startswith(attacked)]
    if not found:
        return fine("as far as a few random directions show")
    return fine(f"{'; '.join(found)}; and yet all were broken") if _all_broken(case) else doubt(*found)


def _all_broken(case: Case) -> bool:
    """Whether an attack with a budget left no sample of what it saw; without one sizes are too large all the same."""
    return case.cell["eps"] is not None and bool(case.seen) and not any(one.robust.any() for one in case.seen)
