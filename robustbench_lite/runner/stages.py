"""What a cell goes through: the names of its stages, told as they begin, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["ATTACKING", "INSPECTING", "JUDGING", "TIMING", "Stages"]

# the stage of a cell, and what a person is told meanwhile
INSPECTING, ATTACKING, JUDGING = ("inspect", "inspecting"), ("attack", "attacking"), ("judge", "judging")
TIMING = ("attack", "timing at batch size 1")


@dataclass
class Stages:
    """What the cell is doing, told as it begins, and how long each took; `now`: load, inspect, attack or judge."""

    told: Callable[[str], None] = lambda _: None
    now: str = "load"
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, part: tuple[str, str]) -> Iterator[None]:
        """While this is open the cell is in this part of its execution."""
        self.now, said = part
        self.told(said)
        start = time.perf_counter()
        yield
        self.seconds[said] = self.seconds.get(said, 0.0) + time.perf_counter() - start
