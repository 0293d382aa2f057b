"""What is stored of a cell that has failed: when, a sentence, and the whole traceback."""

from __future__ import annotations

from robustbench_lite.errors import RobustbenchError
from robustbench_lite.guards.foreign import told, trace
from robustbench_lite.results.schema import Row
from robustbench_lite.text import shortened, storable

__all__ = ["failed_columns"]


def failed_columns(name: str, error: BaseException, stage: str) -> Row:
    """The columns that say so of the cell called `name`."""
    if isinstance(error, RobustbenchError):
        text, traceback = storable(shortened(str(error))), error.traceback or trace(error)
    else:
        text, traceback = f"{name}: {told(error)}", trace(error)
    return {"status": "failed", "error": text, "stage": stage, "traceback": traceback}
