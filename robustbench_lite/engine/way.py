"""How far an attack is: by the passes that it has made and those that are to be expected still.

Not by samples that are done: those that break fall at once, and the others take a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Report", "Way", "behind", "in_samples"]


@dataclass(frozen=True)
class Way:
    """Passes made and those expected still, of all samples; `standing`: how many of these are not broken so far."""

    made: float
    left: float
    standing: int


Report = Callable[[Way], None]


def behind(report: Report, made: float, after: float) -> Report:
    """For one of several attacks in turn: before it `made` passes, and `after` it so many for whoever still stands."""
    return lambda way: report(Way(made + way.made, way.left + after * way.standing, way.standing))


def in_samples(progress: Callable[[int], None], n: int) -> Report:
    """Tells `progress` of so many samples' worth of work, of n; more each time, and all of them only in the end."""
    told = 0

    def report(way: Way) -> None:
        nonlocal told
        now = min(n - 1, int(n * way.made / (way.made + way.left))) if way.left > 0 else told
        if now > told:
            told = now
            progress(now)

    return report
