"""Athalye et al.'s Table 1: how images hold up under random transformations, attacked and original."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Group, groups
from robustbench_lite.results.statistics import mean_of_views, wilson
from robustbench_lite.tables import references
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.common import MISSING, Footnotes, count, label, number, share

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
    found = [group for group in groups(results) if group.viewed]
    rows = [tuple(_row(group, notes)) for group in found]
    lines = [_REMARK, *_distributions(found), *notes.lines(results)]
    if not found:
        lines = ["no attack of these results is evaluated under random views: say `under` in the suite"]
    if found and (wanted := str(results.run.get("reference"))) in _PUBLISHED:
        paper = references.load(wanted)
        rows.append(tuple(_published(paper, *_PUBLISHED[wanted])))
        lines.append(f"published: {paper.source}. {paper.quantity}. {paper.protocol}")
    title = "Adversariality and accuracy over random transformations"
    return Table("eot", title, COLUMNS, tuple(rows), tuple(lines), notes.shown())


def _row(group: Group, notes: Footnotes) -> Iterator[Value]:
    yield label(group.cell["dataset"])
    yield label(group.title)
    yield label({"target": "targeted"}.get(group.cell["goal"], "untargeted"))
    yield notes.name(group.cell["variant"], group)
    if not group.ok:
        yield from [MISSING] * 6
        yield count(group.cell["n"])
        yield MISSING
        return
    yield share(wilson(int(group["success"].sum()), len(group.rows)))
    draws = set(group["draws"].tolist())
    for prefix in ("", "clean_"):
        for found in (group.adversariality(prefix), group.share_of_views(f"{prefix}draws_label")):
            yield share(mean_of_views(found, min(draws)))
    yield number(float(group["rmsd"].astype(np.float64).mean()), 4)
    yield count(len(group.rows))
    yield count(draws.pop()) if len(draws) == 1 else MISSING


def _distributions(found: list[Group]) -> list[str]:
    """The transformations, in words, once for each that occurs."""
    lists = [json.loads(group.cell["params"]).get("under") for group in found]
    said = ["; ".join(_operation(*part) for one in entries for part in one.items()) for entries in lists if entries]
    return [f"transformations: {text}" for text in dict.fromkeys(said)]


def _operation(name: str, params: dict[str, object]) -> str:
    plain = {key: value for key, value in params.items() if value != "zeros" and value is not False}
    return f"{name} ({', '.join(f'{key} {_plain(value)}' for key, value in plain.items())})"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " to ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _published(paper: references.Reference, data: str, n: int, draws: int) -> Iterator[Value]:
    original, adversarial = paper.rows
    yield from (label(data), label("Inception-v3"), label("targeted"))
    yield Value("EOT", kind="published", note=paper.source)
    yield Value("", kind="label")
    means = [row[name] for row in (adversarial, original) for name in ("adversariality_mean", "accuracy_mean")]
    yield from (Value(f"{mean:g}", mean, kind="published", note=paper.source) for mean in means)
    yield Value("", kind="label")
    yield from (Value(str(number), number, kind="published", note=paper.source) for number in (n, draws))
