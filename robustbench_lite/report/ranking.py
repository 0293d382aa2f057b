"""The first question of a report: per threat model, which classifier holds out best, and who is indistinguishable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.groups import Group, groups, limits
from robustbench_lite.measure import Estimate, bootstrap_mean, mcnemar, wilson

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["Entry", "Ranking", "rankings"]

_ALPHA = 0.05
_NAMED = 4  # ties that the answer names


@dataclass(frozen=True)
class Entry:
    """One classifier. `tied`: the paired test cannot tell it from the best."""

    model: str
    estimate: Estimate
    tied: bool
    attacks: tuple[str, ...]
    clean: float  # share that was right before the attack
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Ranking:
    """One threat model on one dataset, best classifier first."""

    dataset: str
    threat: str
    metric: str
    percent: bool
    entries: tuple[Entry, ...]
    test: str  # how ties were decided
    lead: str  # by how much the first is ahead of the second, and whether that is more than chance

    @property
    def answer(self) -> str:
        """One sentence."""
        best, tied = self.entries[0], [entry.model for entry in self.entries[1:] if entry.tied]
        share = f"{100 * best.estimate.value:.1f} %"
        if self.percent and best.estimate.value == 0:
            return "No classifier holds out: every image is misclassified"
        value = f"{share} of the images stay right" if self.percent else f"an image must change by {share} of its norm"
        if len(self.entries) == 1:
            return f"{best.model}: {value}"
        if len(tied) == len(self.entries) - 1 > 1:
            low = f"{100 * self.entries[-1].estimate.value:.1f}"
            between = f"{low} to {share} of the images stay right" if self.percent else f"{low} to {share} of the norm"
            return f"No classifier stands out: {between}"
        if len(tied) > _NAMED:
            tied = [*tied[:_NAMED], f"{len(tied) - _NAMED} others"]
        also = f"; indistinguishable from {', '.join(tied)}" if tied else ""
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
        metric = "rho, the size of the perturbation relative to the image, in percent"
        return _Threat(dataset, f"smallest {cell['norm']} perturbation", metric, "size", column)
    return _Threat(dataset, limits(cell) or "no stated budget", "robust accuracy", "accuracy")


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
        clean = float(np.mean([group["clean_correct"].mean() for group in models[model]]))
        cells = tuple(str(group.cell["cell"]) for group in models[model])
        entries.append(Entry(model, estimate, tied=False, attacks=attacks, clean=clean, cells=cells))
    entries.sort(key=lambda entry: -entry.estimate.value)
    best, level = values[entries[0].model], _ALPHA / max(1, len(entries) - 1)
    found = [_Difference.of(best, values[entry.model], percent, level) for entry in entries]
    entries = [replace(e, tied=d.tied) if i else e for i, (e, d) in enumerate(zip(entries, found, strict=True))]
    test = "exact McNemar test" if percent else "paired bootstrap"
    many = f", Bonferroni over {len(entries) - 1} comparisons" if len(entries) > 2 else ""
    lead = found[1].sentence(_second(entries), f"{test}{many}") if len(entries) > 1 else ""
    how = f"{test}, level {_ALPHA}{many}"
    yield Ranking(threat.dataset, threat.title, threat.metric, percent, tuple(entries), how, lead)


def _second(entries: list[Entry]) -> str:
    """Who follows the first, and how many others with the same value."""
    equal = [entry.model for entry in entries[1:] if entry.estimate.value == entries[1].estimate.value]
    others = f" (and {len(equal) - 1} others with the same value)" if len(equal) > 1 else ""
    return f"{equal[0]}{others}" if equal else entries[1].model


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


@dataclass(frozen=True)
class _Difference:
    """The best classifier's lead over another on the same samples."""

    estimate: Estimate  # with its interval at 1 - level
    percent: bool
    p: float | None  # None: the interval decides
    level: float

    @classmethod
    def of(
        cls, best: npt.NDArray[np.float64], other: npt.NDArray[np.float64], percent: bool, level: float
    ) -> _Difference:
        """Of scores on the same samples (n,): right or wrong (1, 0), or sizes (inf: not broken)."""
        if percent:
            p = mcnemar(int(((best == 1) & (other == 0)).sum()), int(((best == 0) & (other == 1)).sum()))
            return cls(bootstrap_mean(best - other, 1 - level), percent, p, level)
        both = np.isfinite(best) & np.isfinite(other)
        return cls(bootstrap_mean(best[both] - other[both], 1 - level), percent, None, level)

    @property
    def tied(self) -> bool:
        """Whether the paired test cannot tell the two apart."""
        if self.p is not None:
            return self.p >= self.level
        return not (self.estimate.low > 0 or self.estimate.high < 0)  # NaN, nothing in common: cannot tell

    def sentence(self, other: str, test: str) -> str:
        found, unit = self.estimate, "points" if self.percent else "points of its norm"
        if not np.isfinite(found.value):
            return f"Nothing can be said of the lead over {other}: no sample was broken on both."
        value, low, high = (f"{100 * part:.1f}" for part in (found.value, found.low, found.high))
        p = "" if self.p is None else f", p {'< 0.001' if self.p < 0.001 else f'= {self.p:.2g}'}"
        verdict = "This may be chance" if self.tied else "This is a real difference"
        return f"{value} {unit} [{low}, {high}] ahead of {other} on the same {found.n} images. {verdict} ({test}{p})."
