"""Scores of generators, each beside what as many real test images get in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.results.statistics import Estimate, wilson
from robustbench_lite.tables._generators import NOTHING, Cell, beside, cells, outcome, seconds
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.references import load
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, share, spread

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["gan_scores"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("name", "generator", numeric=False),
    Column("outcome", "outcome", numeric=False),
    Column("covered", "modes", better="higher"),
    Column("high_quality", "near a mode [95 %]", "%", interval=True, better="higher"),
    Column("classifier_score", "score [95 %]", interval=True, better="higher"),
    Column("classifier_score_real", "of real", interval=True),
    Column("frechet", "Frechet [95 %]", interval=True, better="lower"),
    Column("frechet_real", "of real", interval=True, priority=2),
    Column("unevenness", "uneven", interval=True, priority=2, better="lower"),
    Column("unevenness_real", "of real", interval=True, priority=3),
    Column("precision", "precision", "%", interval=True, priority=2, better="higher"),
    Column("precision_real", "of real", "%", interval=True, priority=3),
    Column("recall", "recall", "%", interval=True, priority=2, better="higher"),
    Column("recall_real", "of real", "%", interval=True, priority=3),
    Column("ms_ssim", "MS-SSIM", interval=True, priority=2, better="lower"),
    Column("ms_ssim_real", "of real", interval=True, priority=2),
    Column("swd", "SWD x1e3", interval=True, better="lower"),
    Column("swd_real", "of real", interval=True, priority=2),
    Column("parzen", "Parzen [95 %]", "nats", interval=True, priority=3, better="higher"),
    Column("copies", "copies", "%", interval=True, priority=3, better="lower"),
    Column("copies_features", "in features", "%", interval=True, priority=3, better="lower"),
    Column("seconds", "training", "s", priority=2),
    Column("n", "n"),
)
_REMARK = (
    "of real: as many real test images in the place of the generated ones; score, Frechet, precision and recall are "
    "taken with the classifier of the footnote and are no inception scores; uneven: total variation of the classes "
    "from uniform; MS-SSIM: of pairs, how alike; copies: nearer to a training image than all but 1 in 1000 test "
    "images, in pixels and in the classifier's features"
)
_INTERVALS = (
    "intervals: 95 %, over which images were drawn, generated and real ones alike; a jackknife over 20 groups of both. "
    "Frechet and SWD are larger the fewer the images, of real ones too: compare them with `of real`, not with 0"
)
_POINTS = "modes: of a mixture, covered of all; near a mode: within three standard deviations of its centre"
_PARZEN = "gan-t1"
_WINDOWS = 10_000  # images that the published estimate is made of
_NOT_COMPARED = "Parzen estimates from n images are lower bounds that rise with n; the published ones have 10,000"
_SHARES = ("precision", "recall")
_SCORES = ("classifier_score", "frechet", "unevenness", "ms_ssim", "swd")
_EMPTY = Value("", kind="published")


@tables.register("gan_scores", "Scores of generators beside those of real images: classes, features, patches, modes.")
def gan_scores(results: Results) -> Table:
    notes, found = Footnotes(), cells(results)
    rows = tuple(row for cell in found for row in _rows(cell, notes))
    used = [column for column in COLUMNS if column.key in _always() or any(_said(row[column.key]) for row in rows)]
    rows = tuple({column.key: row[column.key] for column in used} for row in rows)
    remarks = [_REMARK] if any(cell["judge"] and cell["n"] for cell in found) else []
    remarks += [_INTERVALS] if any(cell["frechet_low"] is not None for cell in found) else []
    remarks += [_POINTS] if any(cell["modes"] for cell in found) else []
    remarks += [_NOT_COMPARED] if any(cell["parzen"] and cell["n"] < _WINDOWS for cell in found) else []
    remarks = remarks or [NOTHING]
    title = "Generators: scores beside those of real images"
    return Table("gan_scores", title, tuple(used), rows, (*remarks, *notes.lines(results)), notes.shown())


def _always() -> set[str]:
    return {"dataset", "name", "outcome", "seconds", "n"}


def _said(value: Value) -> bool:
    return value.value is not None


def _rows(cell: Cell, notes: Footnotes) -> list[Row]:
    mark = notes.mark(f"judged by {cell['judge']}, on images that no generator was trained on") if cell["judge"] else ""
    row = {
        "dataset": label(cell["dataset"]),
        "name": Value(cell["name"], kind="label", mark=mark),
        "outcome": outcome(cell, notes),
        "seconds": seconds(cell),
        "n": count(cell["n"]),
        "covered": _covered(cell),
        "high_quality": MISSING if cell["high_quality"] is None else _share(cell, "high_quality"),
        "parzen": _parzen(cell),
        **{key: MISSING if cell.get(key) is None else _share(cell, key) for key in ("copies", "copies_features")},
    }
    for key in _SCORES:
        row |= beside(cell, key)
    for key in _SHARES:
        row |= beside(cell, key, times=100)
    published = _published(cell)
    return [row] if published is None else [row, filled(COLUMNS, {"dataset": row["dataset"]} | published, _EMPTY)]


def _covered(cell: Cell) -> Value:
    if cell["covered"] is None:
        return MISSING
    return Value(f"{cell['covered']} of {cell['modes']}", cell["covered"], n=cell["n"])


def _share(cell: Cell, key: str) -> Value:
    return share(wilson(round(cell[key] * cell["n"]), cell["n"]))


def _parzen(cell: Cell) -> Value:
    if cell["parzen"] is None:
        return MISSING
    mean, error = cell["parzen"], 1.96 * cell["parzen_standard_error"]
    return spread(Estimate(mean, mean - error, mean + error, cell["n"]), 4)


def _published(cell: Cell) -> dict[str, Value] | None:
    """The published estimate where ours is made of as many windows."""
    known = load(_PARZEN)
    row = known.row(model="Adversarial nets")
    if cell["dataset"] != "mnist" or not cell["parzen"] or cell["n"] < _WINDOWS or row is None or not known.shown:
        return None
    estimate = Value(f"{row['mnist']} ± {row['mnist_se']}", row["mnist"], kind="published", note=known.source)
    return {"name": Value("Adversarial nets, published", kind="published", note=known.source), "parzen": estimate}
