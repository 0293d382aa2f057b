"""How generators learnt: scores, the Wasserstein estimate and losses against steps and seconds, as charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.errors import StoreError
from robustbench_lite.report.charts import Line, traces
from robustbench_lite.report.strength import Drawn, cut, legend
from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.values import label, number

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["learning"]

_MOST = 8  # lines in one chart; where there are more generators, each architecture has its own
_KINDS = (
    ("score", "step", "score of a few images", "steps of the generator"),
    ("score", "seconds", "score of a few images", "seconds of training"),
    ("covered", "step", "modes covered, of 1000 points", "steps of the generator"),
    ("swd", "seconds", "sliced Wasserstein distance of a few images (x 1000)", "seconds of training"),
    ("wasserstein", "step", "critic's score of real less generated images", "steps of the generator"),
    ("critic_loss", "step", "loss of the critic", "steps of the generator"),
    ("generator_loss", "step", "loss of the generator", "steps of the generator"),
)
_SAYS = {
    "score": "by the judge, of 256 images; of points the share near a mode, of 1000",
    "swd": "of 256 images against as many test images, mean over resolutions",
    "wasserstein": "under wgan_gp an estimate of the Wasserstein distance, up to the critic's slope; for others how far"
    " the critic's logits are apart",
}


def learning(results: Results) -> Iterator[Drawn]:
    """A chart for each quantity and each group of generators that are compared."""
    groups: dict[str, list[tuple[str, list[Row]]]] = {}
    cells = results.generator_table.to_pylist()
    for cell in cells:
        try:
            rows = results.training(cell["cell"]).to_pylist()
        except StoreError:  # the part on the generator says so
            continue
        of = cell["dataset"] if len(cells) <= _MOST else f"{cell['dataset']}, {cell['architecture']}"
        groups.setdefault(of, []).append((cell["name"], rows))
    for of, members in groups.items():
        for key, against, title, axis in _KINDS:
            lines = [line for name, rows in members if (line := _line(name, rows, key, against)) is not None]
            if lines:
                yield _drawn(f"{of}: {title}", lines, (key, against, axis))


def _line(name: str, rows: Sequence[Row], key: str, against: str) -> Line | None:
    known = [(row[against], row[key]) for row in rows if row[key] is not None and np.isfinite(row[key])]
    if len(known) < 2:
        return None
    x, y = np.array(known, np.float64).T
    return Line(name, x, y)


def _drawn(title: str, lines: Sequence[Line], what: tuple[str, str, str]) -> Drawn:
    key, against, axis = what
    shown = lines[: 2 * _MOST]
    columns = (
        Column("name", "generator", numeric=False),
        Column(against, axis.split(" ")[0]),
        Column(key, key.replace("_", " ")),
    )
    rows = tuple(
        {"name": label(line.name), against: number(float(a), 4), key: number(float(b))}
        for line in shown
        for a, b in zip(line.x, line.y, strict=True)
    )
    table = Table(f"{key}_{against}", title, columns, rows)
    whole = title + cut(len(shown), len(lines))
    return Drawn(whole, _SAYS.get(key, ""), traces(shown, axis, title), legend([line.name for line in shown]), table)
