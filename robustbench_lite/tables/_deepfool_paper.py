"""The numbers of DeepFool's Tables 1 and 2 as values of a table, each with its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robustbench_lite.tables.base import Value
from robustbench_lite.tables.references import Reference, load

__all__ = ["REMARKS", "Published", "published"]

_TABLES = {"l2": "deepfool-t1", "linf": "deepfool-t2"}
REMARKS = (
    "published: Moosavi-Dezfooli et al., CVPR 2016, Tables 1 (l2) and 2 (linf). Compare ratios between attacks, not "
    "absolute values: the paper does not say what x is, but its own columns rule out pixels in [0, 1] and fit the "
    "network's input after preprocessing (inferred; for MNIST less the mean image, so ||x|| is smaller and rho larger)",
    "published times: one image at a time on hardware of 2015; > where the paper gives a lower bound; only their "
    "ratios mean something",
)


@dataclass(frozen=True)
class Published:
    """One row of the paper in one norm."""

    reference: Reference
    row: dict[str, Any]

    @property
    def source(self) -> str:
        return self.reference.source

    def rho(self, attack: str) -> float | None:
        value = self.row.get(f"rho_adv_{attack}" if self.reference.id == _TABLES["l2"] else attack)
        return None if value is None else float(value)

    def size(self, attack: str) -> Value:
        return self._say(self.rho(attack))

    def ratio(self, attack: str) -> Value:
        own, base = self.rho(attack), self.rho("deepfool")
        if own is None or not base:
            return self._say(None)
        return Value(_two_digits(own / base), own / base, kind="published", note="ratio of the rounded values printed")

    def error(self) -> Value:
        return self._say(self.row.get("test_error_pct"))

    def alone(self, attack: str) -> Value:
        milliseconds, bound = self._time(attack)
        return self._say(milliseconds, ">" if bound else "", str(self.row.get("hardware", "")))

    def speed(self, attack: str, compared: set[str]) -> Value:
        """Times faster than the slowest of the `compared` attacks, as the measured rows have it."""
        times = [self._time(one) for one in compared]
        known = [(milliseconds, bound) for milliseconds, bound in times if milliseconds is not None]
        own, uncertain = self._time(attack)
        if own is None or attack not in compared:
            return self._say(None)
        slowest, bound = max(known)
        ratio, mark = slowest / own, ">" if bound and not uncertain else ""
        return Value(f"{mark}{_two_digits(ratio)}", ratio, kind="published", note="ratio of the published times")

    def _time(self, attack: str) -> tuple[float | None, bool]:
        """Milliseconds per sample, and whether they are a lower bound."""
        exact, bound = self.row.get(f"time_{attack}_ms"), self.row.get(f"time_{attack}_ms_lower_bound")
        return (exact, False) if bound is None else (bound, True)

    def _say(self, value: float | None, mark: str = "", detail: str = "") -> Value:
        if value is None:
            return Value("", kind="published")
        return Value(f"{mark}{value}", float(value), kind="published", note=detail or self.source)


def _two_digits(value: float) -> str:
    """As many as the numbers have that it is made of; 200, not 2e+02."""
    return f"{float(f'{value:.2g}'):g}"


def published(run: dict[str, Any], model: str, norm: str) -> Published | None:
    """What the paper says of this classifier, where the suite asks for these tables and the numbers were checked."""
    names = run.get("published")
    name = names.get(model) if isinstance(names, dict) else None
    if run.get("reference") not in _TABLES.values() or norm not in _TABLES or not isinstance(name, dict):
        return None
    reference = load(_TABLES[norm])
    row = reference.row(**name) if name else None
    return Published(reference, row) if row and reference.shown else None
