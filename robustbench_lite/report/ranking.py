"""The first question of a report: per threat model, which classifier holds out best, and who is indistinguishable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.groups import Group, groups, limits
from robustbench_lite.measure import Estimate, bootstrap_mean, mcnemar, mean_of_views, newcombe, wilson

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
    of: str  # what the estimates are a share of: images, views of them; empty: they are sizes, of a norm
    entries: tuple[Entry, ...]
    test: str  # how ties were decided
    lead: str  # by how much the first is ahead of the second, by more than chance or not; alone in views: by attack
    draws: int = 0  # views of each image; 0: the image itself

    @property
    def answer(self) -> str:
        """One sentence."""
        best, tied = self.entries[0], [entry.model for entry in self.entries[1:] if entry.tied]
        share = f"{100 * best.estimate.value:.1f} %"
        if self.of and best.estimate.value == 0:
            return f"No classifier holds out: every {self.of.removesuffix('s')} is misclassified"
        value = f"{share} of the {self.of} stay right" if self.of else f"an image must change by {share} of its norm"
        if len(self.entries) == 1:
            return f"{best.model}: {value}"
        if len(tied) == len(self.entries) - 1 > 1:
            low = f"{100 * self.entries[-1].estimate.value:.1f}"
            between = f"{low} to {share} of the {self.of} stay right" if self.of else f"{low} to {share} of the norm"
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
    kind: str  # accuracy, size, views
    column: str = ""  # of the size
    draws: int = 0  # views of each image

    @property
    def of(self) -> str:
        return {"accuracy": "images", "views": "views"}.get(self.kind, "")

    def test(self, n: int) -> str:
        """How two classifiers are told apart on the same n samples."""
        if self.kind == "accuracy":
            return "exact McNemar test"
        return "Newcombe's interval" if self.kind == "views" and n == 1 else "paired bootstrap"

    def clean(self, group: Group) -> float:
        """Share that was right before the attack."""
        views = self.kind == "views"
        return float((group.share_of_views("clean_draws_label") if views else group["clean_correct"]).mean())

    def estimate(self, values: npt.NDArray[np.float64], confidence: float = 0.95) -> Estimate:
        """The mean over samples (n,) of what is scored; sizes of infinity, never broken, are left out."""
        if self.kind == "accuracy":
            return wilson(int(values.sum()), len(values), confidence)
        if self.kind == "views":
            return replace(mean_of_views(values, self.draws, confidence), n=len(values))
        return bootstrap_mean(values[np.isfinite(values)], confidence)


def rankings(results: Results) -> list[Ranking]:
    """All rankings of the results, in the order of the run."""
    found: dict[_Threat, dict[str, list[Group]]] = {}
    for group in groups(results):
        if group.ok and (threat := _threat(group)):
            found.setdefault(threat, {}).setdefault(group.model, []).append(group)
    return [ranking for threat, models in found.items() for ranking in _ranked(threat, models)]


def _threat(group: Group) -> _Threat | None:
    """What the attacker may do to this classifier; where images were scored in views, those are what counts."""
    found = _budget(group)
    if found is None or not group.viewed:
        return found
    metric, draws = "accuracy in fresh random views", int(group["draws"].min())
    return replace(found, title=f"{found.title}, in random views", metric=metric, kind="views", draws=draws)


def _budget(group: Group) -> _Threat | None:
    """On the images themselves; None where the classifier is one of several that were attacked together."""
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
    entries = []
    for model, column in values.items():
        attacks = tuple(dict.fromkeys(str(group.cell["variant"]) for group in models[model]))
        clean = float(np.mean([threat.clean(group) for group in models[model]]))
        cells = tuple(str(group.cell["cell"]) for group in models[model])
        entries.append(Entry(model, threat.estimate(column), tied=False, attacks=attacks, clean=clean, cells=cells))
    entries.sort(key=lambda entry: -entry.estimate.value)
    best, level = values[entries[0].model], _ALPHA / max(1, len(entries) - 1)
    found = [_Difference.of_scores(threat, best, values[entry.model], level) for entry in entries]
    entries = [replace(e, tied=d.tied) if i else e for i, (e, d) in enumerate(zip(entries, found, strict=True))]
    many = f", Bonferroni over {len(entries) - 1} comparisons" if len(entries) > 2 else ""
    test = threat.test(len(common))
    lead = found[1].sentence(_second(entries), f"{test}{many}") if len(entries) > 1 else _reached(threat, models)
    how = f"{test}, level {_ALPHA}{many}"
    yield Ranking(threat.dataset, threat.title, threat.metric, threat.of, tuple(entries), how, lead, threat.draws)


def _reached(threat: _Threat, models: dict[str, list[Group]]) -> str:
    """With a single classifier: in how many of the views each attack has what it wants, the strongest first."""
    if threat.kind != "views":
        return ""
    every = [(mean_of_views(g.adversariality(), threat.draws), g) for g in chain.from_iterable(models.values())]
    every.sort(key=lambda pair: -pair[0].value)
    parts: list[str] = []
    for found, group in every[:_NAMED]:
        value, low, high = (f"{100 * part:.1f}" for part in (found.value, found.low, found.high))
        parts.append(f"{value} [{low}, {high}]\u00a0%{' of the views' * (not parts)} ({group.cell['variant']})")
    return f"Goal reached in {', '.join(parts)}{' and others' * (len(every) > _NAMED)}."


def _second(entries: list[Entry]) -> str:
    """Who follows the first, and how many others with the same value."""
    equal = [entry.model for entry in entries[1:] if entry.estimate.value == entries[1].estimate.value]
    others = f" (and {len(equal) - 1} others with the same value)" if len(equal) > 1 else ""
    return f"{equal[0]}{others}" if equal else entries[1].model


def _worst(threat: _Threat, members: list[Group]) -> dict[str, float]:
    """Per sample under the worst attack: right or not (1, 0), a share of its views, or a size (inf: never broken)."""
    out: dict[str, float] = {}
    for group in members:
        if threat.kind == "views":
            column = group.share_of_views("draws_label")
        elif threat.kind == "accuracy":
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
    of: str  # images, views; empty: sizes
    p: float | None  # None: the interval decides
    level: float

    @classmethod
    def of_scores(
        cls, threat: _Threat, best: npt.NDArray[np.float64], other: npt.NDArray[np.float64], level: float
    ) -> _Difference:
        """Of scores on the same samples (n,), as `_worst` gives them."""
        p = None
        if threat.kind == "accuracy":
            p = mcnemar(int(((best == 1) & (other == 0)).sum()), int(((best == 0) & (other == 1)).sum()))
        if threat.kind == "views" and len(best) == 1:  # no spread over images: only the draws say how sure it is
            return cls(newcombe(*(threat.estimate(one, 1 - level) for one in (best, other))), threat.of, p, level)
        both = np.isfinite(best) & np.isfinite(other)
        return cls(bootstrap_mean(best[both] - other[both], 1 - level), threat.of, p, level)

    @property
    def tied(self) -> bool:
        """Whether the paired test cannot tell the two apart."""
        if self.p is not None:
            return self.p >= self.level
        return not (self.estimate.low > 0 or self.estimate.high < 0)  # NaN, nothing in common: cannot tell

    def sentence(self, other: str, test: str) -> str:
        found, unit = self.estimate, "points" if self.of else "points of its norm"
        if not np.isfinite(found.value):
            return f"Nothing can be said of the lead over {other}: no sample was broken on both."
        value, low, high = (f"{100 * part:.1f}" for part in (found.value, found.low, found.high))
        p = "" if self.p is None else f", p {'< 0.001' if self.p < 0.001 else f'= {self.p:.2g}'}"
        verdict = "This may be chance" if self.tied else "This is a real difference"
        same = f"the same {found.n} images" if found.n > 1 else "the same image"
        return f"{value} {unit} [{low}, {high}] ahead of {other} on {same}. {verdict} ({test}{p})."
