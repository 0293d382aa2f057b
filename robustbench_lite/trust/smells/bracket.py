"""Did the attack find what it must where the answer is known?"""

from __future__ import annotations

from typing import Any

from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register, unknown

_WHY = (
    "On classifiers that are linear in the image the distance to the nearest boundary is known exactly, also where the "
    "images lie at the border of what an image can be. Before a run, every attack in it is tried there with the very "
    "parameters of the run: it must fail below that distance and succeed just above it, as far as its card promises. "
    "An attack that misses is too weak as it is configured, or has a mistake in it as one has that does the "
    "impossible; its numbers say nothing about robustness."
)
_REMEDY = (
    "Give the attack its default parameters, or more steps; doctor --calibrate says which part of the bracket it "
    "misses."
)


@register("bracket", "exact-answer bracket", _WHY, _REMEDY)
def bracket(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    entry = _entry(case)
    if not entry:
        return unknown("not calibrated when this ran")
    if entry["failed"]:
        return doubt(*entry["failed"])
    return fine(f"{entry['checks']} checks passed" + ("" if "params" in entry else " by the attack's defaults"))


def _entry(case: Case) -> dict[str, Any] | None:
    """What the run says of the cell's attack as it is configured; older runs tried its defaults."""
    known, cell = case.results.run.get("calibration"), case.cell
    if not isinstance(known, dict):
        return None
    entry = known.get(cell["variant"])
    if entry and "params" in entry:
        same = (entry["attack"], entry["params"], entry["version"]) == (cell["attack"], cell["params"], cell["version"])
        return entry if same else None
    old = known.get(cell["attack"]) or {}
    same = "params" not in old and old.get("version", cell["version"]) == cell["version"]
    return old if old and same else None
