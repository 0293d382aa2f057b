"""Did the attack find what it must where the answer is known?"""

from __future__ import annotations

from robustbench_lite.check import Case, Finding, doubt, fine, register, unknown

_WHY = (
    "On classifiers that are linear in the image the distance to the nearest boundary is known in closed form. "
    "Before a run, every attack in it is tried there: it must fail below that distance and succeed just above it. An "
    "attack that misses, or does the impossible, has a mistake in it, and its numbers mean nothing."
)


@register("bracket", "exact-answer bracket", _WHY)
def bracket(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    known = case.results.run.get("calibration")
    entry = known.get(case.cell["attack"]) if isinstance(known, dict) else None
    if not entry:
        return unknown("not calibrated when this ran")
    if entry["failed"]:
        return doubt("; ".join(entry["failed"]))
    return fine(f"{entry['checks']} checks passed")
