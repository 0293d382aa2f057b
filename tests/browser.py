"""What is asked of every page in a browser."""

from __future__ import annotations

from typing import Any

__all__ = ["shifted"]

_SHIFTS = """new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => { for (const entry of list.getEntries()) sum += entry.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 100);
})"""


def shifted(page: Any) -> float:
    """How much of the page moved while it loaded: 0 where everything had its place at once."""
    return float(page.evaluate(_SHIFTS))
