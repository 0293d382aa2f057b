"""`compare A B`: the same attacks on the same samples in two runs, or on two classifiers: what changed, and how sure.

Robustness is compared sample by sample: exact McNemar test on the verdicts; on distances a paired permutation test of
means, or the sign test where failures are among them. One sentence says what follows, its p-value adjusted over all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.results.change import Change, common
from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.naming import names_of
from robustbench_lite.results.paired_tests import holm
from robustbench_lite.results.statistics import Estimate, Size, bootstrap_mean, wilson
from robustbench_lite.results.store import read
from robustbench_lite.tables._worst_changes import worst_changes
from robustbench_lite.tables.base import Column, Row, Table, Value, filled
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share
from robustbench_lite.text import bracketed, first_of, p_equals, percent, signed
from robustbench_lite.trust.smell import doubts_of

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["Change", "Changes", "Side", "changes", "compare", "side", "sides"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False),
    Column("attack", "attack", numeric=False),
    Column("robust_a", "robust A", "%"),
    Column("robust_b", "robust B", "%"),
    Column("difference", "B - A", "points", interval=True),
    Column("lost", "lost"),
    Column("won", "won"),
    Column("p", "p"),
    Column("rho_a", "rho A", priority=3),
    Column("rho_b", "rho B", priority=3),
    Column("rho_difference", "B - A", "rho", interval=True, priority=2),
    Column("n", "n", priority=2),
)
_NONE = Value("", kind="missing")  # of an attack that has no sizes
_REMARK = (
    "pairs of the same sample; robust: correct before and after the attack, of n; lost: robust in A and not in B, won: "
    "the reverse; worst case: under all attacks of a run within the budget; p: exact two-sided McNemar test of lost "
    "against won, of this line alone; rho: mean ||r|| / ||x|| of minimal attacks, below 99 % success the median, "
    "failures as infinite; [95 % paired bootstrap interval]"
)


@dataclass(frozen=True)
class Side:
    """One of the two things compared: a results folder, or one classifier of it."""

    name: str
    results: Results
    model: str | None

    def evaluations(self) -> dict[tuple[Any, ...], Evaluation]:
        """Those that count, by what makes them comparable; the classifier does unless both sides name one."""
        out: dict[tuple[Any, ...], Evaluation] = {}
        for one in evaluations(self.results):
            if self.model in {None, one.model}:
                who = one.model if self.model is None else None
                out[one.dataset, who, one.through, one.attack, one.cell["params"]] = one
        return out


def side(text: str) -> Side:
    """`FOLDER` or `FOLDER:CLASSIFIER`. Raises StoreError for no results, UsageError for an unknown classifier."""
    folder, model = split(text)
    results = read(folder)
    known = sorted({one.model for one in evaluations(results)})
    if model is not None and model not in known:
        raise UsageError(f"{folder} has no classifier '{model}'{did_you_mean(model, known)}")
    return Side(text, results, model)


def split(text: str) -> tuple[Path, str | None]:
    """Folder and classifier of `FOLDER` or `FOLDER:CLASSIFIER`."""
    folder, colon, model = text.rpartition(":")
    return (Path(text), None) if not colon or Path(text).is_dir() else (Path(folder), model)


def sides(a: str, b: str, labels: Mapping[Path, str] | None = None) -> tuple[Side, Side]:
    """Both, under names that tell them apart: labels, folders, or classifiers of one folder. Raises as `side`."""
    found = side(a), side(b)
    folders = [one.results.folder.resolve() for one in found]
    names = names_of(folders, labels)
    if folders[0] == folders[1]:
        names = [one.model or name for one, name in zip(found, names, strict=True)]
    elif all(one.model for one in found) and found[0].model != found[1].model:
        names = [f"{name}:{one.model}" for one, name in zip(found, names, strict=True)]
    first, second = (Side(name, one.results, one.model) for one, name in zip(found, names, strict=True))
    return first, second


@dataclass(frozen=True)
class Changes:
    """Everything that two sides have in common, and the names of the sides."""

    a: Side
    b: Side
    pairs: tuple[Change, ...]
    alone: tuple[str, ...]  # a line for what has no partner
    worst: tuple[Change, ...] = ()  # under all attacks together: what single comparisons have said comes once more

    @property
    def sentence(self) -> str:
        """What changed from A to B, and whether it is certain; one p-value, adjusted over all comparisons.

        A number that does not stand makes nothing better, and is named with its reason.
        """
        told = [pair for pair in self.pairs if pair.stands]
        odd = [pair for pair in self.pairs if pair.ok and not pair.stands]
        said = self._summed(told) if told or not odd else ""
        if not odd:
            return said
        first = next(part for part in odd if any(part.red))
        more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
        who = " and ".join(side.name for side, red in zip((self.a, self.b), first.red, strict=True) if red)
        reason = first_of(first.red[1] or first.red[0])
        why = f"the number of {who} under {first.variant} does not stand{more}: {reason}"
        return f"{said}; {why}" if said else f"{self.a.name} and {self.b.name} cannot be compared: {why}"

    def _summed(self, told: list[Change]) -> str:
        """What the pairs say that can be believed."""
        if not told:
            return f"Nothing can be compared between {self.a.name} and {self.b.name}: no pair of cells has numbers"
        if len(told) == 1:
            return self._one(told[0], len(told))
        flips = sum(pair.lost + pair.won for pair in told)
        certain = [pair for pair in told if pair.direction]
        if not certain:
            return self._none(told, flips)
        worst = min(certain, key=lambda pair: (pair.direction, pair.adjusted))
        counts = [sum(pair.direction == way for pair in certain) for way in (-1, 1)]
        parts = [f"{word} in {count}" for word, count in zip(("less", "more"), counts, strict=True) if count]
        often = f"{self.b.name} is certainly {' and '.join(parts)} of {len(told)} comparisons"
        how = often.replace("less in", "less robust in", 1) if counts[0] else often.replace("more in", "more robust in")
        return f"{how}; {'the surest loss' if counts[0] else 'the surest gain'}: {self._one(worst, len(told))}"

    def _none(self, told: list[Change], flips: int) -> str:
        if not flips and all(pair.balance == (0, 0) for pair in told):
            return f"Nothing changed from {self.a.name} to {self.b.name}: no verdict flipped in {len(told)} comparisons"
        lost, won, n = (sum(getattr(pair, name) for pair in told) for name in ("lost", "won", "n"))
        p = min(pair.adjusted for pair in told)
        return (
            f"No certain change from {self.a.name} to {self.b.name} in {len(told)} comparisons: {lost} verdicts lost "
            f"and {won} won of {n} in all, which may be chance (smallest adjusted {p_equals(p)})"
        )

    def _one(self, pair: Change, of: int) -> str:
        """One comparison in words."""
        a, b = self.a.name, self.b.name
        where = [pair.a.dataset, *([] if self.a.model else [pair.model])]
        under = f"under {pair.variant} ({', '.join(where)})"
        worse, better = pair.balance
        if worse == better == 0:
            return f"{a} and {b} agree on all {pair.n} images {under}"
        adjusted = f", adjusted for {of} comparisons" if of > 1 else ""
        sure = "certain" if pair.direction else "this may be chance"
        if pair.of_sizes:
            change = f"needs a smaller change than {a} on {worse} and a larger one on {better} of {pair.n} images"
        else:
            change = f"loses {worse} and wins {better} of {pair.n} images beside {a}"
        return f"{b} {change} {under}: {sure} ({p_equals(pair.adjusted)}{adjusted})"

    def table(self) -> Table:
        notes = Footnotes()
        rows = tuple(_row(pair, notes) for pair in (*self.pairs, *self.worst))
        legend = f"A: {self.a.name}; B: {self.b.name}"
        notes_of = (*notes.lines(self.a.results), *self.b.results.problems)
        title = f"What changed from {self.a.name} to {self.b.name}"
        return Table("compare", title, COLUMNS, rows, (legend, _REMARK, *self.alone, *notes_of))


def changes(a: Side, b: Side) -> Changes:
    """Pair everything that both sides have. Raises UsageError where nothing can be paired."""
    if (a.model is None) != (b.model is None):
        raise UsageError("expected two results folders, or a classifier on both sides (FOLDER:CLASSIFIER)")
    left, right = a.evaluations(), b.evaluations()
    pairs = [_change((a.results, left[key]), (b.results, right[key])) for key in left if key in right]
    if not pairs:
        raise UsageError(
            f"nothing to compare: no cell of {a.name} has a partner in {b.name} with the same dataset, attack and "
            "parameters" + ("" if a.model else ", and classifier")
        )
    alone = (*_alone(a.name, left, right), *_alone(b.name, right, left))
    worst = list(worst_changes(a.results, b.results, (a.model, b.model)))
    return Changes(a, b, _tested(pairs), alone, _tested(worst))


def _tested(pairs: list[Change]) -> tuple[Change, ...]:
    """The same with their p-values corrected over all of them."""
    adjusted = iter(holm([pair.main_p for pair in pairs if pair.stands]))
    return tuple(replace(pair, adjusted=next(adjusted)) if pair.stands else pair for pair in pairs)


def _change(a: tuple[Results, Evaluation], b: tuple[Results, Evaluation]) -> Change:
    first, second = (tuple(map(str, doubts_of(*side))) for side in (a, b))
    return Change(a[1], b[1], common(a[1], b[1]), (first, second))


def compare(a: Side, b: Side) -> Table:
    """Paired differences of everything that both sides have; the title is the sentence that sums them up."""
    found = changes(a, b)
    return replace(found.table(), title=found.sentence)


def _alone(name: str, own: dict[tuple[Any, ...], Evaluation], other: dict[tuple[Any, ...], Evaluation]) -> list[str]:
    """A line for what has no partner."""
    without = [f"{one.model}, {one.variant}" for key, one in own.items() if key not in other]
    return [f"only in {name}: {'; '.join(without)}"] if without else []


def _row(pair: Change, notes: Footnotes) -> Row:
    """One row; with words instead of numbers where a side failed or the samples differ."""
    failed = next((one for one in (pair.a, pair.b) if not one.ok), pair.a)
    name = notes.name(pair.variant, failed)
    marks = [
        notes.mark(f"{side} does not stand: {first_of(red)}") for side, red in zip("AB", pair.red, strict=True) if red
    ]
    head = {
        "dataset": label(pair.a.dataset),
        "model": label(pair.model),
        "attack": replace(name, mark=name.mark + "".join(marks), red=bool(marks)),
    }
    if not pair.ok:
        both = pair.a.ok and pair.b.ok
        nothing = Value("—", kind="missing", note="no sample in common") if both else MISSING
        return filled(COLUMNS, head | {"n": count(0, "label")}, nothing)
    first, second = pair.robust
    return head | {
        "robust_a": share(wilson(int(first.sum()), pair.n), interval=False),
        "robust_b": share(wilson(int(second.sum()), pair.n), interval=False),
        "difference": _signed(bootstrap_mean(100 * (second.astype(float) - first)), ".1f"),
        "lost": count(pair.lost),
        "won": count(pair.won),
        "p": number(pair.p, 2, "derived"),
        "rho_a": _size(pair.size[0]) if pair.minimal else _NONE,
        "rho_b": _size(pair.size[1]) if pair.minimal else _NONE,
        "rho_difference": _size_difference(pair) if pair.minimal else _NONE,
        "n": count(pair.n),
    }


def _size_difference(pair: Change) -> Value:
    """The difference of mean sizes; where one of them is withheld, in how many samples which is larger."""
    p = f"p = {pair.size_p:.2g}"
    if any(part.statistic == "median" for part in pair.size):
        larger, smaller = (int((pair.sizes[1] > pair.sizes[0]).sum()), int((pair.sizes[1] < pair.sizes[0]).sum()))
        note = (
            f"no mean below 99 % success; B needs a larger change on {larger}, a smaller on {smaller} (sign test, {p})"
        )
        return Value("—", kind="missing", note=note)
    both = np.isfinite(pair.sizes[0]) & np.isfinite(pair.sizes[1])
    found = _signed(bootstrap_mean(pair.sizes[1][both] - pair.sizes[0][both]), ".3g")
    return replace(found, note=f"paired permutation test: {p}")


def _size(found: Size) -> Value:
    """A mean; where it is withheld the median, which says so."""
    plain = number(found.estimate.value)
    if found.statistic == "mean" or plain.kind == "missing":
        return plain
    note = f"median, failures as infinite: {percent(found.success)} % broken"
    text = f"half of {found.estimate.n} never broken" if np.isinf(found.estimate.value) else f"median {plain.text}"
    return replace(plain, text=text, note=note)


def _signed(found: Estimate, style: str) -> Value:
    """A difference with its interval, where there are enough samples for one."""
    if np.isnan(found.value):
        return MISSING
    if np.isnan(found.low):
        few = f"too few samples for an interval (n={found.n})"
        return Value(signed(found.value, style), found.value, n=found.n, note=few)
    text = bracketed(*(signed(part, style) for part in (found.value, found.low, found.high)))
    return Value(text, found.value, found.low, found.high, found.n)
