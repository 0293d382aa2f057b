"""Cells whose outcome is decided by the same things, under two names: both are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from robustbench_lite.registry import fingerprint

__all__ = ["told_apart"]


def told_apart(named: Sequence[tuple[str, str]]) -> list[str]:
    """The id of each (id, name) in turn; where several have one id, their names are in the ids."""
    times = Counter(cell for cell, _ in named)
    return [fingerprint([cell, name]) if times[cell] > 1 else cell for cell, name in named]
