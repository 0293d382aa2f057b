"""Were targeted attacks that stand side by side aimed at the same classes?"""

from __future__ import annotations

from robustbench_lite.text import plural
from robustbench_lite.trust.smell import Case, Finding, alike, fine, register, unknown, warning

_WHY = (
    "How hard a target is depends on the class: the most similar one takes a fraction of what the least likely takes. "
    "Success rates of targeted attacks, and the classifiers that they are of, compare only where every sample was "
    "aimed at the same class. Random targets depend on the seed and the sample alone, so equal seeds give equal "
    "targets; the least likely class is another for every classifier."
)
_REMEDY = "Give all of them the same seed and target: random, and compare again."


@register("targets", "same targets", _WHY, _REMEDY)
def targets(case: Case, everything: tuple[Case, ...]) -> Finding:
    if not case.scored[0].targeted:
        return fine("the attack is not targeted")
    others = [other for other in alike(case, everything, "threat, targeted", _threat) if other is not case]
    if not others:
        return unknown("no other targeted attack with this budget on these data")
    apart = [text for other in others if (text := _apart(case, other))]
    more = f" (and {len(apart) - 3} more)" if len(apart) > 3 else ""
    return warning("; ".join(apart[:3]) + more) if apart else fine(f"those of {plural(len(others), 'other')}")


def _threat(case: Case) -> tuple[str, ...]:
    return tuple(str(case.cell[name]) for name in ("dataset", "norm", "eps", "goal"))


def _apart(case: Case, other: Case) -> str:
    """On how many common samples another attack has other targets; empty: on none."""
    mine, theirs = (_aims(one) for one in (case, other))
    common = mine.keys() & theirs.keys()
    count = sum(mine[sample] != theirs[sample] for sample in common)
    return (
        f"{other.cell['source']} · {other.cell['variant']} has other targets on {count} of {len(common)} samples"
        if count
        else ""
    )


def _aims(case: Case) -> dict[str, int]:
    one = case.scored[0]
    return dict(zip(one.samples, one["target"].tolist(), strict=True))
