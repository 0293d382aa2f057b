"""Athalye et al.'s Table 1: how images hold up under random transformations, attacked and original."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import mean_of_views, wilson
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Row, Table, Value, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number, share

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["eot"]

COLUMNS = (
    Column("dataset", "dataset", numeric=False, group=True),
    Column("model", "classifier", numeric=False, group=True),
    Column("goal", "goal", numeric=False, group=True),
    Column("attack", "attack", numeric=False),
    Column("untransformed", "as it is", "%", interval=True, priority=2, better="higher"),
    Column("adversariality", "adversariality", "%", interval=True, better="higher"),
    Column("accuracy", "accuracy", "%", interval=True, better="lower"),
    Column("clean_adversariality", "original: adversariality", "%", interval=True, priority=2),
    Column("clean_accuracy", "original: accuracy", "%", interval=True, priority=2),
    Column("rmsd", "RMSD", priority=2),
    Column("n", "n", priority=2),
    Column("draws", "draws each", priority=3),
)
# what the rows of the published tables are about: data, images or textures, views of each
_PUBLISHED = {"eot-t1": ("ImageNet", 1000, 1000), "eot-t2": ("10 objects", 200, 100)}
_REMARK = (
    "as it is: attacks that succeed on the image without a transformation, of all n [95 % Wilson interval]; "
    "adversariality: share of fresh random views that are classified as the target (untargeted: not as the true "
    "label), accuracy: as the true label, means over the n images of the share over each image's draws [95 % bootstrap "
    "interval over images; with one image the Wilson interval over its draws]; original: the same for the "
    "clean images in the same views; RMSD on the 0-255 scale; no attack has seen these draws"
)


@tables.register("eot", "Athalye et al.'s Table 1: adversariality and accuracy over random transformations.")
def eot(results: Results) -> Table:
    notes = Footnotes()
    found = [one for one in evaluations(results) if one.viewed]
    rows = [_row(one, notes) for one in found]
    lines = [_REMARK, *_distributions(found), *notes.lines(results)]
    if not found:
        lines = ["no attack of these results is evaluated under random views: say `under` in the suite"]
    if found and (wanted := str(results.run.get("reference"))) in _PUBLISHED:
        paper = references.load(wanted)
        rows.append(_published(paper, *_PUBLISHED[wanted]))
        lines.append(f"published: {paper.source}. {paper.quantity}. {paper.protocol}")
    title = "Adversariality and accuracy over random transformations"
    return Table("eot", title, COLUMNS, tuple(rows), tuple(lines), notes.shown())


def _row(one: Evaluation, notes: Footnotes) -> Row:
    head = {
        "dataset": label(one.dataset),
        "model": label(one.title),
        "goal": label("targeted" if one.targeted else "untargeted"),
        "attack": notes.name(one.variant, one),
    }
    if not one.ok:
        return filled(COLUMNS, head | {"n": count(one.cell["n"])}, MISSING)
    draws = set(one["draws"].tolist())

    def over_views(shares: npt.NDArray[np.float64]) -> Value:
        return share(mean_of_views(shares, min(draws)))

    return head | {
        "untransformed": share(wilson(int(one.success.sum()), len(one))),
        "adversariality": over_views(one.adversariality()),
        "accuracy": over_views(one.share_of_views("draws_label")),
        "clean_adversariality": over_views(one.adversariality("clean_")),
        "clean_accuracy": over_views(one.share_of_views("clean_draws_label")),
        "rmsd": number(float(one["rmsd"].mean()), 4),
        "n": count(len(one)),
        "draws": count(draws.pop()) if len(draws) == 1 else MISSING,
    }


def _distributions(found: list[Evaluation]) -> list[str]:
    """The transformations, in words, once for each that occurs."""
    lists = [one.params.get("under") for one in found]
    said = ["; ".join(_operation(*part) for one in entries for part in one.items()) for entries in lists if entries]
    return [f"transformations: {text}" for text in dict.fromkeys(said)]


def _operation(name: str, params: dict[str, object]) -> str:
    plain = {key: value for key, value in params.items() if value != "zeros" and value is not False}
    return f"{name} ({', '.join(f'{key} {_plain(value)}' for key, value in plain.items())})"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " to ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _published(paper: references.Reference, data: str, n: int, draws: int) -> Row:
    original, adversarial = paper.rows

    def said(number: float) -> Value:
        return Value(f"{number:g}", number, kind="published", note=paper.source)

    known = {
        "dataset": label(data),
        "model": label("Inception-v3"),
        "goal": label("targeted"),
        "attack": Value("EOT", kind="published", note=paper.source),
        "adversariality": said(adversarial["adversariality_mean"]),
        "accuracy": said(adversarial["accuracy_mean"]),
        "clean_adversariality": said(original["adversariality_mean"]),
        "clean_accuracy": said(original["accuracy_mean"]),
        "n": said(n),
        "draws": said(draws),
    }
    return filled(COLUMNS, known, label(""))
