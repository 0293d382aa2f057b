"""Published tables, each number with its source. Facts only; the words are ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_lite.errors import UsageError, did_you_mean

__all__ = ["Reference", "known", "load"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Reference:
    """One published table: `rows` as printed, `checked` says how the numbers were verified."""

    id: str
    paper: str
    arxiv: str
    table: str
    quantity: str
    protocol: str
    checked: str
    rows: tuple[dict[str, Any], ...]
    note: str = ""

    @property
    def shown(self) -> bool:
        """Whether the numbers may be printed as published; recalled ones may not."""
        return self.checked != "recalled"

    @property
    def source(self) -> str:
        return f"{self.paper}, {self.table}, https://arxiv.org/abs/{self.arxiv}"

    def row(self, **match: str) -> dict[str, Any] | None:
        """The first row with these values."""
        return next((row for row in self.rows if all(row.get(key) == value for key, value in match.items())), None)


def known() -> list[str]:
    """Ids of the published tables."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def load(name: str) -> Reference:
    """The published table called `name`. Raises UsageError."""
    if name not in known():
        raise UsageError(f"unknown reference '{name}'{did_you_mean(name, known())}")
    data = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Reference(id=name, **{**data, "rows": tuple(data["rows"])})
