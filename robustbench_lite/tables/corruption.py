"""Hendrycks and Dietterich: error under common corruptions, beside that of a reference classifier of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, Reals
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import Estimate, bootstrap_mean, bootstrap_ratio, wilson
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["corruption"]

EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")  # for validation: not part of the mean
COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False, group=True),
    Column("corruption", "corruption", numeric=False),
    Column("error", "error", "%", interval=True, better="lower"),
    Column("worst", "at any", "%", interval=True, priority=2, better="lower"),
    Column("ce", "CE", "%", interval=True, better="lower"),
    Column("relative", "relative CE", "%", interval=True, priority=2, better="lower"),
    Column("severities", "severities", priority=3),
    Column("n", "n", priority=2),
)
_REMARK = (
    "error: share of all n samples that are misclassified, mean over severities; at any: wrong at a severity or more; "
    "CE: error by that of the reference; relative CE: what the corruption adds to the clean error, by what it adds to "
    "that of the reference; all: means over the corruptions of the paper in this run (its 15; speckle noise, Gaussian "
    "blur, spatter and saturate are not among them), so mCE and relative mCE; [95 % interval, over samples]"
)


@dataclass(frozen=True)
class _Errors:
    """What one corruption did to one classifier, over the severities that are stored."""

    several: tuple[Evaluation, ...]

    @property
    def samples(self) -> tuple[list[str], list[int]]:
        """What has to be the same for two to be compared: the samples, and the severities."""
        return self.several[0].samples, [one.params["severity"] for one in self.several]

    @cached_property
    def wrong(self) -> Reals:
        """(n, severities) 1 where misclassified."""
        return np.stack([~one.correct for one in self.several], 1).astype(np.float64)

    @property
    def error(self) -> Reals:
        """(n,) the share of severities at which each sample is misclassified."""
        return np.asarray(self.wrong.mean(1), np.float64)

    @property
    def added(self) -> Reals:
        """(n,) the same, less the clean error."""
        return np.asarray(self.error - ~self.several[0]["clean_correct"], np.float64)


@tables.register("corruption", "Hendrycks and Dietterich: error under common corruptions, mCE and relative mCE.")
def corruption(results: Results) -> Table:
    notes, rows, lines = Footnotes(), list[Row](), list[str]()
    for dataset, models in _found(results).items():
        name, reference = next(iter(models.items()))
        lines.append(f"reference on {dataset}: {name}, the first classifier of the run (the paper's is AlexNet)")
        for model, kinds in models.items():
            head = {"dataset": label(dataset), "model": label(model)}
            rows += [filled(COLUMNS, head | row, MISSING) for row in _rows(kinds, reference, notes)]
    lines = [_REMARK, *lines] if rows else ["no cell of these results is a corruption"]
    if rows and results.run.get("reference") == "hendrycks-readme":
        paper = references.load("hendrycks-readme")
        rows += _published(paper)
        lines.append(f"published: {paper.source}: {paper.quantity}; other images, so no number here compares with them")
    title = "Error under common corruptions"
    return Table("corruption", title, COLUMNS, tuple(rows), (*lines, *notes.lines(results)), notes.shown())


def _published(paper: references.Reference) -> Iterator[Row]:
    """The clean error of each classifier and its mCE."""
    for row in paper.rows:
        head = {"dataset": label("ImageNet-C"), "model": Value(row["classifier"], kind="published", note=paper.source)}
        for corruptions, column, key in (("none", "error", "clean"), ("all 15", "ce", "mce")):
            number = Value(f"{row[key]:g}", float(row[key]), kind="published", note=paper.source)
            yield filled(COLUMNS, head | {"corruption": label(corruptions), column: number}, label(""))


_Kinds = dict[str, list[Evaluation]]


def _found(results: Results) -> dict[str, dict[str, _Kinds]]:
    """By data set, classifier and corruption the evaluations, by severity."""
    found: dict[str, dict[str, _Kinds]] = {}
    for one in evaluations(results):
        if one.attack == "corruption" and one.own:
            kinds = found.setdefault(one.dataset, {}).setdefault(one.model, {})
            kinds.setdefault(str(one.params["kind"]), []).append(one)
    for models in found.values():
        for kinds in models.values():
            for several in kinds.values():
                several.sort(key=lambda one: int(one.params["severity"]))
    return found


def _rows(kinds: _Kinds, reference: _Kinds, notes: Footnotes) -> Iterator[dict[str, Value]]:
    """The clean error, the means over the corruptions of the paper, and each corruption."""
    ready = {kind: errors for kind, many in kinds.items() if (errors := _errors(many))}
    beside = {kind: errors for kind in kinds if (errors := _errors(reference.get(kind, [])))}
    if first := next(iter(ready.values()), None):
        clean = ~first.several[0]["clean_correct"]
        yield {"corruption": label("none"), "error": share(wilson(int(clean.sum()), len(clean)))} | {
            "n": count(len(clean))
        }
    paper = [kind for kind in kinds if kind not in EXTRA]
    if paper and all(kind in ready for kind in paper):
        yield _mean([ready[kind] for kind in paper], [beside.get(kind) for kind in paper])
    for kind, several in kinds.items():
        name = [notes.name(kind.replace("_", " "), one) for one in several]
        marked = next((one for one in name if one.mark), name[0])
        yield {"corruption": marked} | (_numbers(ready[kind], beside.get(kind)) if kind in ready else {})


def _errors(several: Sequence[Evaluation]) -> _Errors | None:
    """Nothing where a severity has failed, or was scored on other samples than the rest."""
    if not several or not all(one.ok and one.samples == several[0].samples for one in several):
        return None
    return _Errors(tuple(several))


def _numbers(own: _Errors, other: _Errors | None) -> dict[str, Value]:
    at_any = np.asarray(own.wrong.any(1))
    said = {
        "error": share(bootstrap_mean(own.error)),
        "worst": share(wilson(int(at_any.sum()), len(at_any))),
        "severities": count(len(own.several)),
        "n": count(len(at_any)),
    }
    if other is None or other.samples != own.samples:
        return said
    pairs = {"ce": (own.error, other.error), "relative": (own.added, other.added)}
    return said | {
        key: _ratio(bootstrap_ratio(*pair) if _sure(pair[1]) else _undefined(pair[1])) for key, pair in pairs.items()
    }


def _mean(own: Sequence[_Errors], beside: Sequence[_Errors | None]) -> dict[str, Value]:
    """The means over corruptions, where all have the same samples."""
    said = {"corruption": label(f"all {len(own)}")}
    if any(one.samples[0] != own[0].samples[0] for one in own):
        return said
    said |= {"error": share(bootstrap_mean(np.mean([one.error for one in own], 0))), "n": count(len(own[0].error))}
    at_any = np.asarray(np.any([one.wrong.any(1) for one in own], 0))
    said |= {"worst": share(wilson(int(at_any.sum()), len(at_any)))}
    others = [other for one, other in zip(own, beside, strict=True) if other and other.samples == one.samples]
    if len(others) < len(own):
        return said
    pairs = {
        "ce": [(one.error, other.error) for one, other in zip(own, others, strict=True)],
        "relative": [(one.added, other.added) for one, other in zip(own, others, strict=True)],
    }
    return said | {key: _ratio(_mean_of_ratios(several)) for key, several in pairs.items()}


def _mean_of_ratios(pairs: Sequence[tuple[Reals, Reals]]) -> Estimate:
    """The mean of ratios of means, of numbers (n,) on the same samples; its interval from its linearisation."""
    if not all(_sure(bottom) for _, bottom in pairs):
        return _undefined(pairs[0][1])
    ratios = [top.mean() / bottom.mean() for top, bottom in pairs]
    moved = [(top - r * bottom) / bottom.mean() for r, (top, bottom) in zip(ratios, pairs, strict=True)]
    return bootstrap_mean(np.mean(ratios) + np.mean(moved, 0))


def _sure(bottom: Reals) -> bool:
    """Whether the mean of numbers (n,) of the reference is above zero by more than chance: else a ratio is noise."""
    return bool(bootstrap_mean(bottom).low > 0)


def _undefined(bottom: Reals) -> Estimate:
    return Estimate(float("nan"), float("nan"), float("nan"), len(bottom))


def _ratio(estimate: Estimate) -> Value:
    if np.isnan(estimate.value):
        return Value("—", n=estimate.n, kind="missing", note="the reference loses nothing there by more than chance")
    return share(estimate)
