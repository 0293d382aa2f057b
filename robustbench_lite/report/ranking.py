"""The first question of a report: per threat model, which classifier holds out best, and who is indistinguishable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from robustbench_lite.report.headline import Entry, Lead, Ranking, amount
from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.paired_tests import permuted, sign_test
from robustbench_lite.results.statistics import (
    ENOUGH,
    Estimate,
    bootstrap_mean,
    mean_of_views,
    median,
    newcombe,
    size_of,
    wilson,
)
from robustbench_lite.results.worst_case import robust, worst_case_of
from robustbench_lite.text import budget
from robustbench_lite.trust.smell import Doubt, doubts_of

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Entry", "Ranking", "in_short", "rankings"]

_NAMED = 4  # attacks that a sentence names
_SHORT = 100  # characters of a finding in a sentence
Scores = npt.NDArray[np.float64]  # (n,) of one classifier, as `_worst` gives them


@dataclass(frozen=True)
class _Threat:
    dataset: str
    title: str
    metric: str
    kind: str  # accuracy, size, views
    draws: int = 0  # views of each image

    @property
    def of(self) -> str:
        return {"accuracy": "images", "views": "views"}.get(self.kind, "")

    def test(self, n: int) -> str:
        """How two classifiers are told apart on the same n samples."""
        if self.kind == "views" and n == 1:
            return "Newcombe's interval"
        return {"accuracy": "exact McNemar test", "median": "exact sign test"}.get(self.kind, "paired permutation test")

    def p(self, best: Scores, other: Scores) -> float:
        """Of a difference, two-sided; where pairs speak against the order of the two it is 1."""
        if self.kind in {"accuracy", "median"}:
            return min(1.0, 2 * sign_test(best, other, one_sided=True))
        if self.kind == "views" and len(best) == 1:  # no spread over images: only the draws say how sure it is
            return _inverted(lambda confidence: self.difference(best, other, confidence))
        both = np.isfinite(best) & np.isfinite(other)
        return permuted(best[both] - other[both])

    def difference(self, best: Scores, other: Scores, confidence: float = 0.95) -> Estimate:
        """The best classifier's lead over another on the same samples."""
        if self.kind == "views" and len(best) == 1:
            return newcombe(*(self.estimate(one, confidence) for one in (best, other)))
        both = np.isfinite(best) & np.isfinite(other)
        found = bootstrap_mean(best[both] - other[both], confidence)
        return replace(found, n=len(best)) if self.kind == "median" else found

    def clean(self, one: Evaluation) -> float:
        """Share that was right before the attack."""
        views = self.kind == "views"
        return float((one.share_of_views("clean_draws_label") if views else one["clean_correct"]).mean())

    def estimate(self, values: npt.NDArray[np.float64], confidence: float = 0.95) -> Estimate:
        """Of samples (n,) what is scored; sizes of infinity were never broken."""
        if self.kind == "accuracy":
            return wilson(int(values.sum()), len(values), confidence)
        if self.kind == "views":
            return replace(mean_of_views(values, self.draws, confidence), n=len(values))
        if np.isnan(values).any() or self.kind == "median":
            return median(values, confidence)
        return size_of(values, np.isfinite(values), confidence).estimate


def _inverted(interval: Callable[[float], Estimate]) -> float:
    """The p-value that goes with an interval: 1 less the largest confidence at which it leaves out 0."""
    low, high = 0.0, 1.0 - 1e-9
    for _ in range(40):
        middle = (low + high) / 2
        found = interval(middle)
        low, high = (middle, high) if found.low > 0 or found.high < 0 else (low, middle)
    return 1 - low


def rankings(results: Results) -> list[Ranking]:
    """All rankings of the results, in the order of the run."""
    found: dict[_Threat, dict[str, list[Evaluation]]] = {}
    for one in evaluations(results):
        if one.ok and (threat := _threat(one)):
            found.setdefault(threat, {}).setdefault(one.model, []).append(one)
    return [one for threat, models in found.items() for one in _ranked(results, threat, models, _reds(results, models))]


def _reds(results: Results, models: dict[str, list[Evaluation]]) -> dict[str, str]:
    """Why a classifier's number does not stand: that of no attack does; the strongest counts, so one would do."""
    out = {}
    for model, members in models.items():
        found = [doubts_of(results, one) for one in members]
        if all(found):
            out[model] = "; ".join(dict.fromkeys(in_short(doubt) for red in found for doubt in red))
    return out


def in_short(doubt: Doubt) -> str:
    """A headline has no room for what a check found in many cases; trust has it."""
    return str(doubt) if len(doubt.text) <= _SHORT else doubt.title


def _threat(one: Evaluation) -> _Threat | None:
    """What the attacker may do to this classifier; where images were scored in views, those are what counts."""
    found = _budget(one)
    if found is None or not one.viewed:
        return found
    metric, draws = "accuracy in fresh random views", int(one["draws"].min())
    return replace(found, title=f"{found.title}, in random views", metric=metric, kind="views", draws=draws)


def _budget(one: Evaluation) -> _Threat | None:
    """On the images themselves; None where the classifier is one of several that were attacked together."""
    if not one.white_box:
        if one.targeted:
            return _Threat(one.dataset, "images aimed at a class, made for other classifiers", "accuracy", "accuracy")
        return _Threat(one.dataset, "images made for other classifiers (black box)", "accuracy", "accuracy")
    if not one.own:
        return None
    box = "" if one.clipped else ", images may leave [0, 1]"
    if one.epsilon is not None:
        title = f"{one.norm} at most {budget(one.epsilon)}{box}"
        return _Threat(one.dataset, title, "robust accuracy", "accuracy")
    if one.minimal:
        metric = "rho, the size of the perturbation relative to the image, in percent"
        return _Threat(one.dataset, f"smallest {one.norm} perturbation{box}", metric, "size")
    return _Threat(one.dataset, (one.limits or "no stated budget") + box, "robust accuracy", "accuracy")


def _ranked(
    results: Results, threat: _Threat, models: dict[str, list[Evaluation]], reds: dict[str, str]
) -> Iterator[Ranking]:
    """Per sample the strongest attack counts; classifiers are compared on the samples that all of them have."""
    scores = {model: _worst(results, threat, members) for model, members in models.items()}
    common = sorted(set.intersection(*(set(score) for score in scores.values())))
    if not common:
        return
    table = np.array([[score[sample] for sample in common] for score in scores.values()])
    values = dict(zip(scores, table[:, ~np.isnan(table).all(axis=0)], strict=True))  # of a black image no size is known
    threat, statistic = _counted(threat, values, reds)
    within = {model: _others(results, members) for model, members in models.items()}
    entries = [
        _entry(threat, model, models[model], within[model], column, reds.get(model, ""))
        for model, column in values.items()
    ]
    entries.sort(key=lambda entry: _order(entry, values[entry.model]))
    n, facts = len(next(iter(values.values()))), (threat.dataset, threat.title, threat.metric, threat.of, statistic)
    bare = Ranking(*facts, tuple(entries), threat.test(n), reached=_reached(threat, models), draws=threat.draws)
    yield _tested(threat, bare, values) if len(bare.known) > 1 else bare


def _tested(threat: _Threat, ranking: Ranking, values: dict[str, Scores]) -> Ranking:
    """The ranking with everybody held against the best: p-values times their number (Bonferroni)."""
    first, *others = ranking.known
    adjusted = {e.model: min(1.0, len(others) * threat.p(values[first.model], values[e.model])) for e in others}
    entries = tuple(replace(entry, p=adjusted.get(entry.model)) for entry in ranking.entries)
    many = f", adjusted for {len(others)} comparisons" if len(others) > 1 else ""
    found = replace(ranking, entries=entries, test=f"{ranking.test}{many}")
    return replace(found, ahead=_lead(threat, found.known, values))


def _counted(
    threat: _Threat, values: dict[str, Scores], reds: dict[str, str]
) -> tuple[_Threat, Literal["mean", "median"]]:
    """Which number ranks: of sizes a median for all, where more than 1 % of the images of one were never broken."""
    columns = [column for model, column in values.items() if model not in reds] or list(values.values())
    if threat.kind != "size" or max(float(np.isinf(column).mean()) for column in columns) <= 1 - ENOUGH:
        return threat, "mean"
    metric = f"median {threat.metric}; images that were never broken count as infinite"
    return replace(threat, kind="median", metric=metric), "median"


def _others(results: Results, members: list[Evaluation]) -> tuple[Evaluation, ...]:
    """Whose successes within the budget of these attacks count beside theirs."""
    case = worst_case_of(results, members[0])
    return case.others if case else ()


def _entry(
    threat: _Threat, model: str, members: list[Evaluation], others: tuple[Evaluation, ...], column: Scores, red: str
) -> Entry:
    named = [one.variant for one in members] + [f"{one.variant}{_made_for(one)}" for one in others]
    attacks = tuple(dict.fromkeys(named))
    clean = float(np.mean([threat.clean(one) for one in members]))
    cells = tuple(one.id for one in members)
    return Entry(model, threat.estimate(column), None, attacks, clean, cells, red)


def _order(entry: Entry, column: Scores) -> tuple[bool, bool, float, float, str]:
    """Numbers that stand first, what is not defined last; equal medians by how many were never broken, then by name."""
    value = entry.estimate.value
    return bool(entry.red), bool(np.isnan(value)), -value, -float(np.isinf(column).mean()), entry.model


def _lead(threat: _Threat, known: tuple[Entry, ...], values: dict[str, Scores]) -> Lead:
    """The first beside the second."""
    first, second = known[:2]
    a, b = values[first.model], values[second.model]
    others = sum(entry.estimate.value == second.estimate.value for entry in known[2:])
    larger, smaller = int((a > b).sum()), int((a < b).sum())
    return Lead(threat.difference(a, b), larger, smaller, second.model, others, second.p or 0.0)


def _reached(threat: _Threat, models: dict[str, list[Evaluation]]) -> str:
    """With a single classifier: in how many of the views each attack has what it wants, the strongest first."""
    if threat.kind != "views" or len(models) > 1:
        return ""
    members = chain.from_iterable(models.values())
    every = [(mean_of_views(one.adversariality(), threat.draws), one.variant) for one in members]
    every.sort(key=lambda pair: -pair[0].value)
    parts: list[str] = []
    for found, variant in every[:_NAMED]:
        parts.append(f"{amount(found)}{' of the views' * (not parts)} ({variant})")
    return f"Goal reached in {', '.join(parts)}{' and others' * (len(every) > _NAMED)}."


def _made_for(one: Evaluation) -> str:
    return f" made for {one.through}" if one.through else ""


def _worst(results: Results, threat: _Threat, members: list[Evaluation]) -> dict[str, float]:
    """Per sample under the worst attack: right or not (1, 0), a share of its views, or a size.

    At a budget all successes within it count, those of other attacks too (`results.worst_case`).

    A size is infinite where the image was never broken, NaN where it is not defined: relative to a black image.
    """
    samples = dict.fromkeys(chain.from_iterable(one.samples for one in members))
    places = {sample: i for i, sample in enumerate(samples)}
    least = np.full(len(places), np.inf)
    for one in members:
        at = [places[sample] for sample in one.samples]
        least[at] = np.minimum(least[at], _scored(results, threat, one))  # NaN stays
    return dict(zip(places, least.tolist(), strict=True))


def _scored(results: Results, threat: _Threat, one: Evaluation) -> Scores:
    """(n,) of each sample under one attack, and whatever else is within its budget."""
    if threat.kind == "views":
        return one.share_of_views("draws_label")
    if threat.kind == "accuracy":
        return robust(results, one).astype(np.float64)
    known = np.where(np.isfinite(one.relative_size), one.relative_size, np.nan)
    return np.where(one.success, known, np.inf)
