"""The first question of a report: per threat model, which classifier holds out best, and who is indistinguishable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.groups import Group, groups
from robustbench_lite.measure import Estimate, bootstrap_mean, mcnemar, wilson

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["Entry", "Ranking", "rankings"]

_ALPHA = 0.05


@dataclass(frozen=True)
class Entry:
    """One classifier. `tied`: the paired test cannot tell it from the best."""

    model: str
    estimate: Estimate
    tied: bool
    attacks: tuple[str, ...]


@dataclass(frozen=True)
class Ranking:
    """One threat model on one dataset, best classifier first."""

    dataset: str
    threat: str
    metric: str
    percent: bool
    entries: tuple[Entry, ...]
    test: str  # how ties were decided

    @property
    def answer(self) -> str:
        """One sentence."""
        best, tied = self.entries[0], [entry.model for entry in self.entries[1:] if entry.tied]
        found = best.estimate
        value = f"{100 * found.value:.1f} %" if self.percent else f"{found.value:.3g}"
        if len(self.entries) == 1:
            return f"{best.model}: {value}"
        also = f", indistinguishable from {', '.join(tied)}" if tied else ""
        return f"{best.model} holds out best: {value}{also}"


@dataclass(frozen=True)
class _Threat:
    dataset: str
    title: str
    metric: str
    kind: str  # accuracy, size
    column: str = ""  # of the size


def rankings(results: Results) -> list[Ranking]:
    """All rankings of the results, in the order of the run."""
    found: dict[_Threat, dict[str, list[Group]]] = {}
    for group in groups(results):
        if group.ok and (threat := _threat(group)):
            found.setdefault(threat, {}).setdefault(group.model, []).append(group)
    return [ranking for threat, models in found.items() for ranking in _ranked(threat, models)]


def _threat(group: Group) -> _Threat | None:
    """What the attacker may do to this classifier; None where it is one of several that were attacked together."""
    cell = group.cell
    sources, dataset = cell["sources"] or [cell["source"]], str(cell["dataset"])
    if group.model not in sources:
        if cell["goal"] == "target":
            return _Threat(dataset, "images aimed at a class, made for other classifiers", "accuracy", "accuracy")
        return _Threat(dataset, "images made for other classifiers (black box)", "accuracy", "accuracy")
    if len(sources) > 1:
        return None
    if cell["eps"] is not None:
        return _Threat(dataset, f"{cell['norm']} at most {cell['eps']:.4g}", "robust accuracy", "accuracy")
    if cell["norm"] is not None:
        column = "rho_linf" if cell["norm"] == "linf" else "rho"
        return _Threat(dataset, f"smallest {cell['norm']} perturbation", "rho, relative size", "size", column)
    return _Threat(dataset, "no stated budget", "robust accuracy", "accuracy")


def _ranked(threat: _Threat, models: dict[str, list[Group]]) -> Iterator[Ranking]:
    """Per sample the strongest attack counts; classifiers are compared on the samples that all of them have."""
    scores = {model: _worst(threat, members) for model, members in models.items()}
    common = sorted(set.intersection(*(set(score) for score in scores.values())))
    if not common:
        return
    values = {model: np.array([score[sample] for sample in common]) for model, score in scores.items()}
    percent = threat.kind == "accuracy"
    entries = []
    for model, column in values.items():
        finite = column[np.isfinite(column)]
        estimate = wilson(int(column.sum()), len(column)) if percent else bootstrap_mean(finite)
        attacks = tuple(dict.fromkeys(str(group.cell["variant"]) for group in models[model]))
        entries.append(Entry(model, estimate, tied=False, attacks=attacks))
    entries.sort(key=lambda entry: -entry.estimate.value)
    best = entries[0].model
    entries = [replace(e, tied=e.model != best and _alike(values[best], values[e.model], percent)) for e in entries]
    test = "exact McNemar test" if percent else "paired bootstrap"
    yield Ranking(threat.dataset, threat.title, threat.metric, percent, tuple(entries), f"{test}, level {_ALPHA}")


def _worst(threat: _Threat, members: list[Group]) -> dict[str, float]:
    """Per sample: still right under every attack (1 or 0), or the size of the smallest success (inf: none)."""
    out: dict[str, float] = {}
    for group in members:
        if threat.kind == "accuracy":
            column = (group["clean_correct"].astype(bool) & (group["adv_pred"] == group["label"])).astype(float)
        else:
            column = np.where(group["success"].astype(bool), group[threat.column].astype(float), np.inf)
        for sample, value in zip(group["sample"].tolist(), column.tolist(), strict=True):
            out[sample] = min(value, out.get(sample, np.inf))
    return out


def _alike(best: npt.NDArray[np.float64], other: npt.NDArray[np.float64], percent: bool) -> bool:
    """Whether the paired test cannot tell the two apart."""
    if percent:
        return mcnemar(int(((best == 1) & (other == 0)).sum()), int(((best == 0) & (other == 1)).sum())) >= _ALPHA
    both = np.isfinite(best) & np.isfinite(other)
    if not both.any():
        return True
    found = bootstrap_mean(best[both] - other[both])
    return found.low <= 0 <= found.high
