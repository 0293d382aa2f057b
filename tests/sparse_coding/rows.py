"""A measured row by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from robustbench_lite.sparse_coding import Measured, Under

_UNDER = Under(worst=0.3, mean=0.1, recovered=0.75, tightness=0.6, broken=0)
_ROW = Measured("mine", "hard", 1, 0.01, 8, 0.25, 2, 4, 1.0, 1.0, 0.5, replace(_UNDER, worst=0.2), _UNDER)


def row(**changes: Any) -> dict[str, Any]:
    return {**_ROW.row(), **changes}
