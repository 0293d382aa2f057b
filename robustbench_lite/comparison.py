"""`compare A B`: the same attacks on the same samples in two runs, or on two classifiers: what changed, and how sure.

Robustness is compared sample by sample: exact McNemar test on the verdicts, paired bootstrap on distances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.groups import Group, groups, through
from robustbench_lite.measure import bootstrap_mean, mcnemar, wilson
from robustbench_lite.store import read
from robustbench_lite.table import Column, Table, Value
from robustbench_lite.tables.common import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["Side", "compare", "side"]

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
_REMARK = (
    "pairs of the same sample; robust: correct before and after the attack, of n; lost: robust in A and not in B, won: "
    "the reverse; p: exact two-sided McNemar test of lost against won; rho: mean ||r|| / ||x|| of minimal attacks; "
    "[95 % paired bootstrap interval]"
)


@dataclass(frozen=True)
class Side:
    """One of the two things compared: a results folder, or one classifier of it."""

    name: str
    results: Results
    model: str | None

    def groups(self) -> dict[tuple[Any, ...], Group]:
        """Cells by what makes them comparable; the classifier counts unless both sides name one."""
        out: dict[tuple[Any, ...], Group] = {}
        for group in groups(self.results):
            cell = group.cell
            if self.model in {None, group.model}:
                seen = "itself" if cell["source"] == group.model else through(cell)
                who = group.model if self.model is None else None
                out[cell["dataset"], who, seen, cell["attack"], cell["params"]] = group
        return out


def side(text: str) -> Side:
    """`FOLDER` or `FOLDER:CLASSIFIER`. Raises StoreError for no results, UsageError for an unknown classifier."""
    folder, colon, model = text.rpartition(":")
    if not colon or Path(text).is_dir():
        return Side(text, read(Path(text)), None)
    results = read(Path(folder))
    known = sorted({group.model for group in groups(results)})
    if model not in known:
        raise UsageError(f"{folder} has no classifier '{model}'{did_you_mean(model, known)}")
    return Side(text, results, model)


def compare(a: Side, b: Side) -> Table:
    """Paired differences of everything that both sides have. Raises UsageError where nothing can be paired."""
    if (a.model is None) != (b.model is None):
        raise UsageError("expected two results folders, or a classifier on both sides (FOLDER:CLASSIFIER)")
    left, right, notes = a.groups(), b.groups(), Footnotes()
    pairs = [(left[key], right[key]) for key in left if key in right]
    rows = [row for one, other in pairs for row in _row(one, other, notes)]
    if not rows:
        raise UsageError(
            f"nothing to compare: no cell of {a.name} has a partner in {b.name} with the same dataset, attack and "
            "parameters" + ("" if a.model else ", and classifier")
        )
    alone = [*_alone("A", left, right), *_alone("B", right, left)]
    footnotes = (f"A: {a.name}; B: {b.name}", _REMARK, *alone, *notes.lines(a.results), *b.results.problems)
    return Table("compare", "What changed from A to B", COLUMNS, tuple(rows), footnotes)


def _alone(name: str, own: dict[tuple[Any, ...], Group], other: dict[tuple[Any, ...], Group]) -> list[str]:
    """A line for what has no partner."""
    without = [f"{group.model}, {group.cell['variant']}" for key, group in own.items() if key not in other]
    return [f"only in {name}: {'; '.join(without)}"] if without else []


def _row(a: Group, b: Group, notes: Footnotes) -> Iterator[tuple[Value, ...]]:
    """One row; with words instead of numbers where a side failed or the samples differ."""
    names = a.model if a.model == b.model else f"{a.model} / {b.model}"
    own = a.cell["source"] == a.model and b.cell["source"] == b.model
    model = names if own else f"{names}, attacked through {through(a.cell)}"
    failed = next((group for group in (a, b) if not group.ok), a)
    head = (label(a.cell["dataset"]), label(model), notes.name(str(a.cell["variant"]), failed))
    if not (a.ok and b.ok):
        yield (*head, *[MISSING] * 9, count(0, "label"))
        return
    one, other = _paired(a, b)
    n = len(one)
    if n == 0:
        yield (*head, *[Value("—", kind="missing", note="no sample in common")] * 9, count(0, "label"))
        return
    safe = [_robust(group)[index] for group, index in ((a, one), (b, other))]
    lost, won = int((safe[0] & ~safe[1]).sum()), int((~safe[0] & safe[1]).sum())
    yield (
        *head,
        *(share(wilson(int(part.sum()), n), interval=False) for part in safe),
        _points(safe[1].astype(float) - safe[0]),
        count(lost),
        count(won),
        number(mcnemar(lost, won), 2, "derived"),
        *_sizes(a, b, one, other),
        count(n),
    )


def _sizes(a: Group, b: Group, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> Iterator[Value]:
    """Rho of both and its difference, for attacks that look for the smallest perturbation."""
    if a.cell["eps"] is not None or a.cell["norm"] is None:
        yield from [Value("", kind="missing")] * 3
        return
    column = "rho_linf" if a.cell["norm"] == "linf" else "rho"
    first, second = a[column].astype(np.float64)[one], b[column].astype(np.float64)[other]
    yield number(float(first.mean()))
    yield number(float(second.mean()))
    found = bootstrap_mean(second - first)
    text = f"{found.value:+.3g} [{found.low:+.3g}, {found.high:+.3g}]"
    yield Value(text, found.value, found.low, found.high, found.n)


def _points(difference: npt.NDArray[np.float64]) -> Value:
    found = bootstrap_mean(100 * difference)
    text = f"{found.value:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"
    return Value(text, found.value, found.low, found.high, found.n)


def _paired(a: Group, b: Group) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of the samples that both have, in the order of the first."""
    places = {sample: i for i, sample in enumerate(b.rows["sample"].to_pylist())}
    both = [(i, places[s]) for i, s in enumerate(a.rows["sample"].to_pylist()) if s in places]
    pairs = np.array(both, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _robust(group: Group) -> npt.NDArray[np.bool_]:
    """Correct before and after the attack."""
    found: npt.NDArray[np.bool_] = group["clean_correct"].astype(bool) & (group["adv_pred"] == group["label"])
    return found
